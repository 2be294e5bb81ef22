import json

from superserve_cli.core.outcomes import STATUSES
from superserve_cli.reports import summarize
from tests.reports.runs import Req, a_run, steady


def test_every_request_is_counted_once() -> None:
    summary = summarize(steady(100))
    assert sum(summary[status] for status in STATUSES) == summary["requests"] == 100


def test_a_summary_is_strict_json_even_when_nothing_was_answered() -> None:
    summary = summarize(a_run(Req(0), Req(1)))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["p50_ms"], summary["accuracy"], summary["attainment_low"]) == (None, None, None)


def test_lag_is_reported_for_live_runs_alone() -> None:
    assert summarize(a_run(Req(0, 1, lag_ms=2), kind="live"))["lag_p99_ms"] == 2
    assert "lag_p99_ms" not in summarize(a_run(Req(0, 1)))


def test_labels_and_tenants_are_reported_where_there_are_some() -> None:
    summary = summarize(a_run(Req(0, 1, correct=True, tenant="a")))
    assert summary["measured_accuracy"] == 1
    assert summary["expected_accuracy"] == 0.7
    assert summary["tenants"]["a"]["requests"] == 1
    assert {"measured_accuracy", "tenants"}.isdisjoint(summarize(a_run(Req(0, 1))))


def test_an_invalid_run_says_so() -> None:
    assert summarize(a_run(Req(0, 1), valid=False))["valid"] is False
