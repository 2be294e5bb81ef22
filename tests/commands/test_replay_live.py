"""`superserve replay --target`, as a person or CI sees it."""

import json
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from superserve_cli import reports
from superserve_cli.app import run
from tests.serving.load.servers import KEY, one_hot, speaking_grpc


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("arrival_s\n" + "".join(f"{i / 500}\n" for i in range(50)))
    np.save("rows.npy", np.ones((3, 1, 2, 2), np.float32))


def replay(url: str, *options: str) -> int:
    return run(["replay", "--trace", "file:t.csv", "--slo-ms", "5000", "--inputs", "rows.npy", "--target", url, "--out", "r", *options])


def test_a_run_over_grpc_is_reported_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking_grpc() as url:
        assert replay(url, "--json", "--processes", "2") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["attainment"] == 1.0
    assert "sent by 2 processes" in said.err
    assert reports.read_run(Path("r")).manifest["target"] == url


def test_a_run_that_proves_nothing_is_written_and_ends_with_4(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.INTERNAL, "out of order")

    with speaking_grpc(broken) as url:
        assert replay(url) == 4
    said = capsys.readouterr().err
    assert "error: this run is not valid: 50 of 50 requests failed (50 of them: INTERNAL: out of order)" in said
    assert reports.read_run(Path("r")).manifest["valid"] is False


@pytest.mark.parametrize("from_environment", [True, False])
def test_a_key_opens_the_server_and_goes_into_no_file(
    from_environment: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = () if from_environment else ("--api-key", KEY)
    monkeypatch.setattr("sys.argv", ["superserve", "replay", *options])
    if from_environment:
        monkeypatch.setenv("SUPERSERVE_API_KEY", KEY)
    with speaking_grpc(one_hot, key=KEY) as url:
        assert replay(url, *options) == 0
    said = capsys.readouterr()
    assert not any(KEY.encode() in path.read_bytes() for path in Path("r").iterdir())
    assert KEY not in said.out + said.err


def test_what_belongs_to_a_target_is_refused_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--wait", "5", "--inputs", "rows.npy", "--processes", "2", "--ca", "x.pem", "--insecure-tls"]
    assert run(["replay", "--trace", "poisson", *options]) == 2
    assert "--wait, --inputs, --processes, --ca, --insecure-tls can only go with --target" in capsys.readouterr().err
