import json
from pathlib import Path

import pytest

from superserve_cli.app import run
from tests.reports.runs import keep, steady

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs in a comparison folder, and a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    for policy, every in (("slackfit", 10), ("infaas", 4)):
        keep(tmp_path / policy, steady(policy=policy, slow_every=every))
    return tmp_path


def test_it_writes_the_report_of_a_run_into_its_folder(comparison: Path, capsys: Capture) -> None:
    assert run(["report", str(comparison / "slackfit")]) == 0
    said = capsys.readouterr()
    assert "90.00" in said.out
    assert str(comparison / "slackfit" / "report.html") in said.err
    assert (comparison / "slackfit" / "report.md").read_text().startswith("# slackfit: 90.00 %")


def test_it_compares_the_runs_of_a_comparison_folder_in_it(comparison: Path, capsys: Capture) -> None:
    assert run(["report", str(comparison), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["ranking"] == ["slackfit", "infaas"]
    assert (comparison / "report.html").exists()


def test_it_compares_several_runs_on_the_terminal_and_writes_only_where_it_is_told(comparison: Path, capsys: Capture) -> None:
    runs = [str(comparison / policy) for policy in ("slackfit", "infaas")]
    before = sorted(comparison.rglob("*"))
    assert run(["report", *runs]) == 0
    said = capsys.readouterr()
    assert said.out.index("slackfit") < said.out.index("infaas")
    assert max(map(len, said.out.splitlines())) <= 80
    assert "--out" in said.err
    assert sorted(comparison.rglob("*")) == before
    assert run(["report", *runs, "--out", str(comparison / "both")]) == 0
    assert (comparison / "both" / "summary.json").exists()


@pytest.mark.parametrize("target", ["absent", "."])
def test_what_is_no_run_is_one_line_and_exit_code_2(tmp_path: Path, target: str, capsys: Capture) -> None:
    assert run(["report", str(tmp_path / target)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
