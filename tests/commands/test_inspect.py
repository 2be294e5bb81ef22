import json
from importlib.resources import files
from pathlib import Path

import pytest

from superserve_cli import supernet
from superserve_cli.app import run
from tests.reports.runs import keep, steady

Capture = pytest.CaptureFixture[str]


def test_it_says_what_a_run_folder_is_and_holds(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    keep(tmp_path, steady())
    assert run(["inspect", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for words in ("run folder", "slackfit", "SYNTHETIC", "SLO attainment", "90.00 %"):
        assert words in said


def test_json_holds_numbers(tmp_path: Path, capsys: Capture) -> None:
    keep(tmp_path, steady())
    assert run(["inspect", str(tmp_path / "outcomes.parquet"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "outcomes of a run"
    assert found["summary"]["attainment"] == 0.9


def test_a_broken_supernet_folder_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "supernet.json").write_text("{}")
    assert run(["inspect", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_not_ours_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert run(["inspect", str(tmp_path / "notes.txt")]) == 2
    said = capsys.readouterr().err
    assert "neither Parquet nor CSV" in said
    assert said.count("\n") == 1


def test_it_shows_the_shipped_supernet(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    loaded = supernet.load()
    shipped = str(files("superserve_cli.supernet").joinpath("data"))
    assert run(["inspect", shipped]) == 0
    said = capsys.readouterr().out
    for words in ("SuperNet", loaded.family, loaded.hash[:12], "of 32 subnets", *loaded.front):
        assert words in said
    assert run(["inspect", shipped, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] == loaded.hash


def test_a_shipped_profile_is_inspected_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", "modelled"]) == 0
    assert "ofa-73.82" in capsys.readouterr().out


@pytest.mark.parametrize("whole", [False, True])
def test_an_exported_file_shows_which_subnets_it_holds(tmp_path: Path, whole: bool, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.onnx"
    asked = ["--whole"] if whole else ["--subnet", "d333-w1-e0.5"]
    assert run(["export", *asked, "--out", str(path), "--no-verify"]) == 0
    capsys.readouterr()
    assert run(["inspect", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["form"], said["subnets"][-1]["id"]) == ("ONNX", "supernet" if whole else "subnet", "d333-w1-e0.5")
    assert run(["inspect", str(path)]) == 0
    assert "d333-w1-e0.5" in capsys.readouterr().out
