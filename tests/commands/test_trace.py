import json
from pathlib import Path

import pytest

from superserve_cli import traces
from superserve_cli.app import run


def test_it_writes_a_trace_and_says_how_bursty_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.parquet"
    assert run(["trace", "azure", "--mean-qps", "200", "--duration", "3", "--slo-ms", "36", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    trace = traces.load(f"file:{out}")
    assert trace.slo_ns is not None
    assert set(trace.slo_ns.tolist()) == {36_000_000}
    for line in (f"{len(trace):,}", "peak / mean at 1 s", "index of dispersion at 100 ms", "synthetic", "yes"):
        assert line in printed


def test_json_holds_the_same_figures_and_nothing_else_is_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.parquet"
    assert run(["trace", "bursty", "--cv2", "2", "--base-share", "0.5", "--duration", "2", "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    trace = traces.load(f"file:{out}")
    assert printed["requests"] == len(trace)
    assert printed["hash"] == traces.content_hash(trace)
    assert printed["synthetic"] is True
    assert trace.metadata["cv2"] == 2
    assert trace.metadata["base_share"] == 0.5


def test_a_trace_of_ones_own_is_converted_and_drawn(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("arrival_s,tenant\n0.5,a\n1.5,b\n")
    command = ["trace", f"file:{tmp_path / 'mine.csv'}", "--out", str(tmp_path / "t.parquet"), "--plot", str(tmp_path / "t.svg")]
    assert run(command) == 0
    tenant = traces.load(f"file:{tmp_path / 't.parquet'}").tenant
    assert tenant is not None
    assert tenant.to_pylist() == ["a", "b"]
    assert (tmp_path / "t.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["azur"], "did you mean azure"),
        (["poisson", "--mean-qps", "-1"], "--mean-qps"),
        (["poisson", "--duration", "nan"], "--duration"),
        (["poisson", "--slo-ms", "0"], "--slo-ms"),
        (["poisson", "--mean-qps", "1e-9"], "no request at all"),
        (["poisson", "--mean-qps", "many"], "--mean-qps"),
        (["poisson", "--plot", "picture.doc"], "not a picture"),
        (["file:none.csv"], "there is no none.csv"),
        (["file:none.csv", "--seed", "3"], "--seed cannot go with"),
        (["azure:none.csv"], "there is no none.csv"),
    ],
)
def test_a_mistake_is_one_line_exit_code_2_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["trace", *arguments, "--out", "t.parquet"]) == 2
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not printed.out
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_kept_unless_told_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.parquet"
    out.write_text("precious")
    assert run(["trace", "poisson", "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert run(["trace", "poisson", "--out", str(out), "--overwrite"]) == 0
    assert len(traces.load(f"file:{out}")) > 0


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text("a file")
    assert run(["trace", "poisson", "--out", str(tmp_path / "a" / "t.parquet")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert run(["trace", "poisson", "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
