import json
from pathlib import Path
from typing import Any

import pytest

from superserve_cli.app import run
from superserve_cli.studies import tuning
from superserve_cli.studies.tuning.judging import Judge
from tests.commands.test_replay import CSV


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text(CSV)


def tune(*options: str) -> int:
    small = ["--duration", "2", "--workers", "2", "--seeds", "1", "--start", "max-batch", "--budget", "12"]
    return run(["tune", "--profile", "p.csv", "--trace", "bursty", "--load", "0.6", *small, *options])


def replay(*options: str) -> int:
    return run(["replay", "--profile", "p.csv", "--trace", "bursty", "--load", "0.6", "--duration", "2", "--workers", "2", *options])


def test_what_it_writes_is_a_policy_that_replay_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune("--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["out"] == "policy.json"
    assert replay("--policy", "policy.json", "--seed", "1", "--json") == 0  # the seed that it was validated on
    summary = json.loads(capsys.readouterr().out)
    assert summary["policy"] == "policy.json"
    assert summary["utility"] == pytest.approx(said["validation"]["policies"]["tuned"]["utility"])


def test_inspect_says_what_it_was_made_for_and_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune("--slo-ms", "30") == 0
    assert run(["inspect", "policy.json"]) == 0
    shown = capsys.readouterr().out
    assert "3 subnets, 2 workers, SLO 30 ms" in shown
    assert "max-batch" in shown


def test_equal_seeds_write_equal_files() -> None:
    assert tune("--out", "a.json") == tune("--out", "b.json") == 0
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_the_table_sets_it_beside_the_papers_policies_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune() == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("tuned", "price", "slackfit", "max-batch", "max-accuracy"))
    assert max(map(len, printed.splitlines())) <= 80


def test_without_a_budget_policies_are_compared_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune("--budget", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["out"] is None
    assert not Path("policy.json").exists()


def test_ctrl_c_writes_the_best_so_far_and_says_that_it_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Any] = []

    def step(search: tuning.Search) -> None:
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(search)

    monkeypatch.setattr(tuning.Search, "step", step)
    assert tune() == 130
    said = json.loads(Path("policy.json").read_text())
    assert said["provenance"]["interrupted"]
    assert said["provenance"]["validation"] is None
    assert replay("--policy", "policy.json") == 0


def test_ctrl_c_before_the_search_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Judge, "score", score)
    assert tune() == 130
    assert not list(Path().glob("*policy*"))


def test_a_file_that_cannot_be_written_leaves_no_half_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune("--out", "p.csv/policy.json") == 2
    assert "cannot write" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["p.csv"]


def test_another_profile_is_refused_with_both_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune() == 0
    Path("p.csv").write_text(CSV.replace("0.9", "0.95"))
    assert replay("--policy", "policy.json") == 2
    assert "was made for the profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--start", "slakfit"], "no policy 'slakfit'"),
        (["--start", "nexus"], "policy nexus has a memory"),
        (["--mean-qps", "10"], "both say how much load"),
        (["--service", "measured"], "no quantiles"),
        (["--late", "never"], "no late rule"),
        (["--slo-ms", "0"], "--slo-ms is 0"),
        (["--out", "p.csv"], "p.csv exists"),
        (["--trace", "azur"], "no trace 'azur'"),
        (["--workers", "0"], "0 workers"),
        (["--out", "p.csv/policy.json"], "cannot write p.csv/policy.json"),
        (["--seeds", "100000000"], "Invalid value for '--seeds'"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    assert tune(*options) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["p.csv"]
