import numpy as np
import pytest

from superserve_cli.core.outcomes import DROPPED, FAILED, LATE, MET, REJECTED
from superserve_cli.serving.load.answers import Answer
from superserve_cli.serving.load.ledger import Ledger
from superserve_cli.traces.trace import Trace

MS = 1_000_000
DONE = Answer("d1", 0.9, 2, 3 * MS, True)


def ledger(n: int = 4, slo_ms: int = 20) -> Ledger:
    return Ledger(Trace(np.arange(n, dtype=np.int64) * MS), slo_ms * MS)


def test_a_request_is_met_until_the_very_deadline() -> None:
    book = ledger(2)
    book.answered(0, 20 * MS, DONE)
    book.answered(1, 21 * MS + 1, DONE)
    assert book.outcomes().status[:2].tolist() == [MET, LATE]
    assert book.outcomes().start_ns[0] == 17 * MS


@pytest.mark.parametrize(
    ("status", "outcome"), [(504, DROPPED), (503, REJECTED), (400, REJECTED), (429, REJECTED), (500, FAILED), (302, FAILED)]
)
def test_refusals_have_their_outcomes(status: int, outcome: int) -> None:
    book = ledger(1)
    book.refused(0, 5 * MS, status, "why")
    assert book.outcomes().status.tolist() == [outcome]
    assert book.outcomes().ended_ns.tolist() == [5 * MS]
    assert book.outcomes().finish_ns.tolist() == [-1]


def test_what_is_left_counts_from_the_intended_arrival() -> None:
    assert ledger().sent(3, 10 * MS) == 13 * MS


def test_the_end_of_a_run_ends_every_request_not_before_it_should_have_arrived() -> None:
    book = ledger(4)
    book.sent(0, 0)
    book.answered(0, 1 * MS, DONE)
    book.sent(1, 1 * MS)
    book.close(2 * MS, "gone")
    outcomes = book.outcomes()
    assert outcomes.status.tolist() == [MET, FAILED, FAILED, FAILED]
    assert outcomes.ended_ns.tolist() == [1 * MS, 2 * MS, 2 * MS, 3 * MS]
    assert outcomes.lag_ns.tolist() == [0, 0, 0, 0]
    assert book.failures == {"gone": 3}


@pytest.mark.parametrize(
    ("slo_ms", "lag_ms", "valid"),
    [(20, 5, True), (20, 6, False), (200, 20, True), (200, 21, False)],
)
def test_lag_may_be_five_milliseconds_or_a_tenth_of_the_slo(slo_ms: int, lag_ms: int, valid: bool) -> None:
    book = ledger(100, slo_ms)
    for id in range(100):
        book.sent(id, (id + lag_ms) * MS)
        book.answered(id, (id + lag_ms) * MS, DONE)
    problems = book.problems(idle_lag_ns=MS, waited=0)
    assert (problems == []) == valid
    if not valid:
        assert f"lag p99 {lag_ms}.0 ms, allowed {max(5, slo_ms // 10)}.0 ms (its timers alone: 1.0 ms)" in problems[0]


def test_the_shortest_slo_sets_the_allowed_lag() -> None:
    book = Ledger(Trace(np.zeros(2, np.int64), slo_ns=np.array([20 * MS, 0])), 1000 * MS)
    for id in range(2):
        book.sent(id, 10 * MS)
        book.answered(id, 11 * MS, DONE)
    assert "allowed 5.0 ms" in book.problems(0, 0)[0]


def test_one_failure_in_a_hundred_is_borne_and_two_are_not() -> None:
    for failures in (1, 2):
        book = ledger(100)
        for id in range(100):
            book.sent(id, id * MS)
            book.answered(id, id * MS, DONE) if id >= failures else book.failed(id, id * MS, "hung up")
        assert book.problems(0, 0) == ([] if failures == 1 else ["2 of 100 requests failed (2 of them: hung up)"])


def test_an_empty_trace_is_a_run_without_problems() -> None:
    book = ledger(0)
    assert book.problems(0, 0) == []
    assert len(book.outcomes()) == 0
