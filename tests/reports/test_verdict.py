from pathlib import Path
from typing import Any

import pytest

from superserve_cli import reports
from superserve_cli.errors import BadFile, BadOption, NotComparable, Unknown
from superserve_cli.reports.comparable import MAY_DIFFER, MUST_AGREE
from tests.reports.runs import keep, steady

OTHER: dict[str, dict[str, Any]] = {
    "trace": {"trace": {"hash": "c" * 64}},
    "slo": {"slo_ns": 1},
    "late": {"late": "drop"},
    "policy": {"policy": "infaas"},
    "profile": {"profile": {"hash": "c" * 64}},
    "subnets": {"profile": {"hash": "b" * 64, "subnets": ["small"]}},
    "workers": {"workers": 9},
    "kind": {"kind": "live"},
    "service": {"service": "measured"},
    "hardware": {"hardware": {"cpu": "Another"}, "kind": "live"},
}
"""A change of the manifest for each thing in which runs may or may not differ."""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    keep(tmp_path / "base", steady(profile={"hash": "b" * 64, "subnets": ["large", "small"]}))
    return tmp_path / "base"


def head(tmp_path: Path, **changes: Any) -> Path:
    """The same, but for some changes; it does not tell its subnets, which is no difference."""
    keep(tmp_path / "head", steady(**changes))
    return tmp_path / "head"


def test_a_run_equals_itself(base: Path) -> None:
    verdict = reports.judge(base, base, ["attainment:0", "p99_ms:0%", "accuracy:0pp"], [])
    assert verdict.failures == []
    assert verdict.others == []
    assert verdict.to_json()["ok"] is True


@pytest.mark.parametrize("what", MUST_AGREE)
def test_runs_of_another_trace_slo_or_late_rule_are_never_comparable(base: Path, tmp_path: Path, what: str) -> None:
    with pytest.raises(NotComparable, match=what):
        reports.judge(base, head(tmp_path, **OTHER[what]), [], ["all"])
    with pytest.raises(BadOption, match=what):
        reports.judge(base, base, [], [what])


@pytest.mark.parametrize("what", MAY_DIFFER)
def test_any_other_difference_is_named_and_must_be_allowed(base: Path, tmp_path: Path, what: str) -> None:
    other = head(tmp_path, **OTHER[what])
    names = {"hardware": "kind,hardware"}.get(what, what)
    with pytest.raises(NotComparable, match=what) as refusal:
        reports.judge(base, other, [], [])
    assert f"--allow-different {names}" in refusal.value.hint
    for allowed in (names, "all"):
        assert what in [named.what for named in reports.judge(base, other, [], [allowed]).others]


def test_all_that_is_not_allowed_is_named_at_once(base: Path, tmp_path: Path) -> None:
    other = head(tmp_path, policy="infaas", workers=9, service="measured")
    with pytest.raises(NotComparable, match=r"policy .*; service "):
        reports.judge(base, other, [], ["workers"])


def test_another_machine_does_not_change_a_simulation(base: Path, tmp_path: Path) -> None:
    assert reports.judge(base, head(tmp_path, hardware={"cpu": "Another"}), [], []).others == []


def test_a_live_run_has_no_service_rule_that_could_differ(base: Path, tmp_path: Path) -> None:
    live = head(tmp_path, kind="live", service=None)
    assert [named.what for named in reports.judge(base, live, [], ["kind"]).others] == ["kind"]


def test_a_server_s_own_outcomes_are_of_no_known_trace_and_compare_with_nothing(tmp_path: Path) -> None:
    served = head(tmp_path, kind="live", trace={"source": "clients", "hash": None})
    with pytest.raises(NotComparable, match="unknown requests"):
        reports.judge(served, served, [], ["all"])


def test_seed_and_versions_are_named_and_forgiven(base: Path, tmp_path: Path) -> None:
    verdict = reports.judge(base, head(tmp_path, seed=1, versions={"superserve": "0.2.0"}, created="later"), [], [])
    assert [named.what for named in verdict.others] == ["seed", "versions"]


def test_an_unknown_allowance_is_refused(base: Path) -> None:
    with pytest.raises(Unknown, match="polcy") as refusal:
        reports.judge(base, base, [], ["polcy"])
    assert "policy" in refusal.value.hint


def test_all_broken_conditions_are_told(base: Path, tmp_path: Path) -> None:
    verdict = reports.judge(base, head(tmp_path, slow_every=4), ["attainment:1pp", "late:100000", "utility<0.9"], [])
    assert len(verdict.failures) == 2
    assert verdict.complaint.startswith("2 of 3 conditions failed: attainment:1pp: ")
    assert "utility<0.9: utility is" in verdict.complaint


def test_a_bad_condition_is_refused_before_any_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadOption):
        reports.judge(tmp_path / "absent", tmp_path / "absent", ["nonsense"], [])


def test_a_comparison_folder_is_answered_with_its_runs(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="comparison") as refusal:
        reports.judge(base, tmp_path, [], [])
    assert str(base) in refusal.value.hint


def test_an_invalid_run_is_a_warning(base: Path, tmp_path: Path) -> None:
    verdict = reports.judge(base, head(tmp_path, valid=False, problems=["lag"]), [], [])
    assert verdict.warnings == ["HEAD is an invalid run: lag"]


def test_accuracies_that_do_not_compare_are_said_not_to(base: Path) -> None:
    verdict = reports.judge(base, base, [], [])
    assert verdict.notes == ["Accuracies compare only at 99.99 % attainment or more, which 0 of 2 runs reach."]
    assert verdict.to_json()["notes"] == verdict.notes
    assert verdict.notes[0] in verdict.to_markdown()


def test_the_markdown_for_a_pull_request_is_appended(base: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    reports.judge(base, base, ["attainment:0"], []).append_to(summary)
    text = summary.read_text()
    assert text.startswith("before\n### superserve compare: slackfit\n\n1 of 1 conditions hold\n\n| metric | base |")
    with pytest.raises(BadFile, match="cannot write"):
        reports.judge(base, base, [], []).append_to(tmp_path / "absent" / "summary.md")
