import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superserve_cli import reports
from superserve_cli.core import outcomes
from superserve_cli.core.files import replacing
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.reports.folders import OURS
from tests.reports.runs import a_run, keep, manifest, steady


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def comparison(folder: Path) -> None:
    """A comparison as `superserve replay` leaves it: a folder for each policy, and the comparison above them."""
    runs = [steady(policy=policy, slow_every=n) for policy, n in (("slackfit", 10), ("fixed:small", 5))]
    for run in runs:
        keep(folder / reports.folder_name(run.policy), run)
    reports.write_comparison(folder, runs)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = steady()
    summary = reports.write_run(tmp_path / "r", run)
    again = reports.read_run(tmp_path / "r")
    assert again.manifest == run.manifest
    assert reports.summarize(again) == summary == loaded(tmp_path / "r" / "summary.json")
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == sorted(OURS)


def test_the_outcomes_alone_know_their_manifest(tmp_path: Path) -> None:
    run = steady()
    keep(tmp_path, run)
    for path in (tmp_path / "outcomes.parquet", tmp_path):
        (tmp_path / "manifest.json").unlink(missing_ok=True)
        again = reports.read_run(path)
        assert again.manifest == manifest()
        assert np.array_equal(again.outcomes.finish_ns, run.outcomes.finish_ns)


def test_a_comparison_ranks_by_utility(tmp_path: Path) -> None:
    comparison(tmp_path)
    summary = loaded(tmp_path / "summary.json")
    assert summary["schema"] == "comparison/1"
    assert summary["ranking"] == ["slackfit", "fixed:small"]
    assert [entry["policy"] for entry in summary["policies"]] == summary["ranking"]
    assert summary["policies"][0]["utility"] > summary["policies"][1]["utility"]


def test_a_comparison_folder_given_as_a_run_lists_its_runs(tmp_path: Path) -> None:
    comparison(tmp_path)
    with pytest.raises(BadFile, match="comparison of several runs") as refusal:
        reports.read_run(tmp_path)
    assert str(tmp_path / "fixed-small") in refusal.value.hint
    assert reports.find_runs(tmp_path) == [tmp_path / "fixed-small", tmp_path / "slackfit"]


@pytest.mark.parametrize("read", [reports.read_run, reports.find_runs])
def test_what_is_no_run_is_refused_in_words(tmp_path: Path, read: Any) -> None:
    with pytest.raises(BadFile, match="there is no"):
        read(tmp_path / "absent")
    with pytest.raises(BadFile, match="not a run folder"):
        read(tmp_path)


def test_a_run_without_requests_or_with_another_manifest_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, steady())
    (tmp_path / "manifest.json").write_text('{"schema": "run/2"}')
    with pytest.raises(BadFile, match="does not hold run/1"):
        reports.read_run(tmp_path)
    outcomes.write(tmp_path / "outcomes.parquet", a_run().outcomes, manifest())
    with pytest.raises(BadFile, match="no requests"):
        reports.read_run(tmp_path)


def test_a_folder_is_claimed_when_it_is_empty_or_absent(tmp_path: Path) -> None:
    reports.claim_folder(tmp_path / "a" / "b", overwrite=False)
    reports.claim_folder(tmp_path / "a" / "b", overwrite=False)
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_with_something_in_it_is_refused_without_overwrite(tmp_path: Path) -> None:
    keep(tmp_path, steady())
    with pytest.raises(BadOption, match="not empty") as refusal:
        reports.claim_folder(tmp_path, overwrite=False)
    assert "--overwrite" in refusal.value.hint
    assert len(list(tmp_path.iterdir())) == 2


def test_overwrite_removes_old_runs_and_nothing_else(tmp_path: Path) -> None:
    comparison(tmp_path)
    mine = [tmp_path / "notes.txt", tmp_path / "slackfit" / "notes.txt", tmp_path / "other" / "report.md"]
    mine[2].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    reports.claim_folder(tmp_path, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before  # a run that comes to nothing has cost nothing
    with reports.replaced(tmp_path) as fresh:
        (fresh / "slackfit").mkdir()
        new = [Path("new"), Path("slackfit/new")]
        for path in new:
            (fresh / path).write_text("")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([*mine, *(tmp_path / path for path in new)])
    assert not (tmp_path / "fixed-small").exists()


def test_a_run_takes_the_place_of_another(tmp_path: Path) -> None:
    keep(tmp_path, steady())
    with reports.replaced(tmp_path) as fresh:
        keep(fresh, steady(slow_every=2))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert reports.read_run(tmp_path).outcomes.status.tolist() == steady(slow_every=2).outcomes.status.tolist()


def test_of_two_runs_that_end_in_one_folder_the_last_one_stays(tmp_path: Path) -> None:
    with reports.replaced(tmp_path) as one, reports.replaced(tmp_path) as other:
        keep(one, steady())
        keep(other, steady(slow_every=2))
    assert reports.read_run(tmp_path).outcomes.status.tolist() == steady().outcomes.status.tolist()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_file_where_a_run_folder_is_to_be_costs_nothing(tmp_path: Path) -> None:
    comparison(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "other").write_text("mine")

    def replace_all() -> None:
        with reports.replaced(tmp_path) as fresh:
            keep(fresh / "other", steady())

    with pytest.raises(BadFile, match="cannot write"):
        replace_all()
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "other"])


def fail_to_replace(folder: Path) -> None:
    with reports.replaced(folder) as fresh:
        (fresh / "outcomes.parquet").write_text("half")
        with replacing(fresh / "run.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_run_that_cannot_be_written_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    keep(tmp_path, steady())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BadFile, match=re.escape(f"cannot write {tmp_path / 'run.json'}: No space left on device")):
        fail_to_replace(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", OURS)
def test_overwrite_never_touches_a_file_of_that_name_that_somebody_else_wrote(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(BadOption, match="was not written by superserve"):
        reports.claim_folder(tmp_path, overwrite=True)
    assert (tmp_path / name).read_text() == "{}"


def test_a_file_cannot_be_claimed_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(BadOption, match="is a file"):
        reports.claim_folder(tmp_path / "f", overwrite=True)
    with pytest.raises(BadFile, match="cannot write"):
        reports.claim_folder(tmp_path / "f" / "g", overwrite=True)


def test_a_report_over_a_run_does_not_change_the_run(tmp_path: Path) -> None:
    keep(tmp_path, steady())
    before = (tmp_path / "outcomes.parquet").read_bytes()
    summary, home = reports.report([tmp_path], None)
    assert home == tmp_path
    assert summary["policy"] == "slackfit"
    assert (tmp_path / "report.md").exists()
    assert (tmp_path / "outcomes.parquet").read_bytes() == before


def test_several_runs_are_compared_in_a_folder_of_their_own(tmp_path: Path) -> None:
    for seed in (0, 1):
        keep(tmp_path / f"s{seed}", steady(seed=seed))
    both = [tmp_path / "s0", tmp_path / "s1"]
    assert reports.report(both, None)[1] is None
    for _ in range(2):  # and again over the comparison of before
        summary, home = reports.report(both, tmp_path / "both")
    assert home == tmp_path / "both"
    assert summary["ranking"] == ["slackfit seed 0", "slackfit seed 1"]
    with pytest.raises(BadOption, match="already there"):
        reports.report(both, tmp_path / "s0")


def test_runs_of_one_policy_are_told_apart_by_what_differs() -> None:
    from superserve_cli.reports.run import labels

    assert labels([steady(kind="live"), steady(), steady(policy="infaas")]) == ["slackfit live", "slackfit simulated", "infaas"]
    assert labels([steady(seed=1), steady(seed=2)]) == ["slackfit seed 1", "slackfit seed 2"]
    assert labels([steady(), steady()]) == ["slackfit #1", "slackfit #2"]
    assert labels([steady(kind="live"), steady(seed=1), steady(seed=2)]) == [
        "slackfit live",
        "slackfit simulated seed 1",
        "slackfit simulated seed 2",
    ]
