import json
from pathlib import Path
from typing import Any

import pytest

from superserve_cli.app import run
from tests.reports.runs import keep, steady

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _narrow_terminal_outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def pair(tmp_path: Path, **head: Any) -> list[str]:
    keep(tmp_path / "base", steady())
    keep(tmp_path / "head", steady(**head))
    return ["compare", str(tmp_path / "base"), str(tmp_path / "head")]


def test_it_shows_differences_and_succeeds_without_conditions(tmp_path: Path, capsys: Capture) -> None:
    assert run(pair(tmp_path, slow_every=4)) == 0
    said = capsys.readouterr().out
    assert "-15.00 pp" in said
    assert "Accuracies compare only" in said
    assert max(map(len, said.splitlines())) <= 80


def test_a_regression_exits_with_3_and_tells_every_broken_condition(tmp_path: Path, capsys: Capture) -> None:
    conditions = ["--fail-on", "attainment:-0.5pp", "--fail-on", "p50_ms:500%", "--fail-on", "accuracy<0.78"]
    assert run([*pair(tmp_path, slow_every=4), *conditions]) == 3
    said = capsys.readouterr()
    assert "attainment" in said.out
    assert "2 of 3 conditions failed" in said.err
    assert "attainment:-0.5pp" in said.err
    assert "accuracy<0.78" in said.err


def test_conditions_that_hold_exit_with_0(tmp_path: Path) -> None:
    assert run([*pair(tmp_path), "--fail-on", "attainment:-0.5pp", "--fail-on", "p99_ms:5%"]) == 0


def test_runs_that_differ_are_not_comparable_unless_that_is_allowed(tmp_path: Path, capsys: Capture) -> None:
    command = pair(tmp_path, policy="infaas", workers=4)
    assert run(command) == 2
    assert "policy (slackfit / infaas); workers (8 / 4)" in capsys.readouterr().err
    assert run([*command, "--allow-different", "policy,workers"]) == 0
    assert run([*command, "--allow-different", "policy", "--allow-different", "workers"]) == 0
    assert run([*command, "--allow-different", "trace"]) == 2


def test_json_is_all_there_is_on_stdout_even_for_a_regression(tmp_path: Path, capsys: Capture) -> None:
    assert run([*pair(tmp_path, slow_every=4), "--fail-on", "utility:0.01", "--json"]) == 3
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["ok"] is False
    assert len(verdict["failures"]) == 1
    attainment = next(row for row in verdict["metrics"] if row["metric"] == "attainment")
    assert attainment["outside_interval"] is True
    assert attainment["difference"] == pytest.approx(-0.15)


def test_the_step_summary_of_ci_gets_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert run([*pair(tmp_path, slow_every=4), "--fail-on", "met:0"]) == 3
    assert "1 of 1 conditions failed" in (tmp_path / "summary.md").read_text()


def test_an_invalid_run_is_warned_about(tmp_path: Path, capsys: Capture) -> None:
    assert run(pair(tmp_path, valid=False, problems=["lag"])) == 0
    assert "warning: HEAD is an invalid run: lag" in capsys.readouterr().err


def test_a_bad_condition_is_one_line_with_the_metrics(tmp_path: Path, capsys: Capture) -> None:
    assert run([*pair(tmp_path), "--fail-on", "speed:5%"]) == 2
    said = capsys.readouterr().err
    assert "goodput_qps" in said
    assert said.count("\n") == 1
