import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.core.outcomes import FAILED, REJECTED
from superserve_cli.reports import metrics
from tests.reports.runs import Req, outcomes

FOUR = outcomes(Req(0, 20), Req(10, 40, subnet="large"), Req(20, 60), Req(30))
"""Met on small, met on large, late, dropped."""


def test_attainment_is_the_met_among_all_requests_and_drops_count_as_missed() -> None:
    assert metrics.attainment(FOUR) == 0.5
    lost = outcomes(Req(0, 20), Req(0, status=REJECTED), Req(0, status=FAILED), Req(0))
    assert metrics.attainment(lost) == 0.25


def test_accuracy_is_the_mean_over_the_met_and_utility_divides_by_all() -> None:
    assert metrics.accuracy(FOUR) == pytest.approx(0.75)
    assert metrics.utility(FOUR) == pytest.approx((0.7 + 0.8) / 4)


def test_accuracy_is_unknown_when_nothing_was_met_but_utility_is_zero() -> None:
    nothing = outcomes(Req(0), Req(0, 80))
    assert metrics.accuracy(nothing) is None
    assert metrics.utility(nothing) == 0


def test_accuracy_and_utility_are_unknown_when_the_profile_does_not_know_them() -> None:
    blind = outcomes(Req(0, 20), Req(0, 20, subnet="unmeasured"))
    assert metrics.accuracy(blind) is None
    assert metrics.utility(blind) is None
    assert metrics.attainment(blind) == 1


def test_the_gap_is_what_the_utility_lacks_to_the_bound() -> None:
    assert metrics.gap(FOUR, 0.5) == 0.125
    assert metrics.gap(FOUR, (0.1 + 0.2) * 1.25) == 0  # one unit in the last place is no gap
    assert metrics.gap(FOUR, None) is None
    assert metrics.gap(outcomes(Req(0, 20, subnet="unmeasured")), 0.5) is None


def test_latency_counts_from_the_intended_arrival_over_all_requests_and_is_infinite_without_an_answer() -> None:
    assert metrics.latency_ms(FOUR, [25, 50, 75, 76, 99]) == [20, 40, 60, None, None]


def test_a_failed_request_has_no_latency_even_if_it_finished() -> None:
    assert metrics.latency_ms(outcomes(Req(0, 5, status=FAILED)), [50]) == [None]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[int], percent: int) -> None:
    enough = [v for v in values if 100 * sum(w <= v for w in values) >= percent * len(values)]
    assert metrics.percentiles(np.array(values), [percent]) == [min(enough)]


def test_queue_and_service_time_are_means_over_the_answered() -> None:
    waited = outcomes(Req(0, 20, wait_ms=5), Req(0, 60, wait_ms=15), Req(0))
    assert metrics.queue_ms(waited) == 10
    assert metrics.service_ms(waited) == 30
    assert metrics.queue_ms(outcomes(Req(0))) is None
    assert metrics.service_ms(outcomes(Req(0))) is None


def test_throughput_counts_the_answered_and_goodput_the_met_per_second_of_the_run() -> None:
    two_seconds = outcomes(Req(0, 20), Req(500, 60), Req(1500), Req(1980, 20))
    assert metrics.duration_s(two_seconds) == 2
    assert metrics.throughput_qps(two_seconds) == 1.5
    assert metrics.goodput_qps(two_seconds) == 1


def test_a_run_without_duration_has_no_rate() -> None:
    assert metrics.goodput_qps(outcomes(Req(0, 0))) is None


def test_batch_sizes_are_shares_of_the_requests_that_ran() -> None:
    assert metrics.batch_sizes(outcomes(Req(0, 1, batch=16), Req(0, 1, batch=2), Req(0, 1, batch=2), Req(0, 70, batch=2), Req(0))) == {
        "2": 0.75,
        "16": 0.25,
    }
    assert metrics.batch_sizes(outcomes(Req(0))) == {}


def test_subnets_are_shares_of_the_requests_that_ran_least_accurate_first() -> None:
    mixed = outcomes(Req(0, 1, subnet="large"), Req(0, 1), Req(0, 1), Req(0, 1), Req(0))
    assert list(metrics.subnets(mixed).items()) == [("small", 0.75), ("large", 0.25)]
    assert metrics.subnets(outcomes(Req(0))) == {}


def test_measured_accuracy_stands_beside_the_profiled_accuracy_of_the_same_requests() -> None:
    told = outcomes(Req(0, 1, correct=True), Req(0, 1, correct=False, subnet="large"), Req(0, 1), Req(0, correct=True))
    assert metrics.measured_accuracy(told) == pytest.approx((0.5, math.sqrt(0.125)))
    assert metrics.expected_accuracy(told) == pytest.approx(0.75)


def test_measured_accuracy_is_unknown_without_labels() -> None:
    assert metrics.measured_accuracy(FOUR) is None
    assert metrics.expected_accuracy(FOUR) is None
    assert metrics.measured_accuracy(outcomes(Req(0, correct=True))) is None


def test_lag_is_how_late_requests_were_sent() -> None:
    assert metrics.lag_ms(outcomes(Req(0, 1, lag_ms=1), Req(0, 1, lag_ms=3), Req(0, 1, lag_ms=2)), (50, 99)) == [2, 3]


def test_each_tenant_has_its_own_attainment_accuracy_and_utility() -> None:
    shared = outcomes(Req(0, 1, tenant="b"), Req(0, tenant="b"), Req(0, 1, tenant="a", subnet="large"), Req(0, status=REJECTED))
    assert metrics.tenants(shared) == {
        "": {"requests": 1, "rejected": 1, "attainment": 0, "accuracy": None, "utility": 0},
        "a": {"requests": 1, "rejected": 0, "attainment": 1, "accuracy": 0.8, "utility": 0.8},
        "b": {"requests": 2, "rejected": 0, "attainment": 0.5, "accuracy": 0.7, "utility": 0.35},
    }
    assert metrics.tenants(FOUR) == {}


def blocks(*missed: int) -> Any:
    """One block of ten requests for each number of missed ones."""
    return outcomes(
        *(Req(i, None if i % 10 < lost else 5) for block, lost in enumerate(missed) for i in range(10 * block, 10 * block + 10))
    )


def test_the_interval_of_attainment_comes_from_twenty_blocks() -> None:
    shares = np.array([1.0] * 10 + [0.8] * 10)
    # t(0.975, 19 degrees of freedom) = 2.093024
    half = 2.093024 * shares.std(ddof=1) / math.sqrt(20)
    low, high = metrics.attainment_interval(blocks(*[0] * 10, *[2] * 10)) or (None, None)
    assert low == pytest.approx(0.9 - half, abs=1e-6)
    assert high == pytest.approx(0.9 + half, abs=1e-6)


def test_one_bad_episode_makes_the_interval_wide_as_a_binomial_one_would_not() -> None:
    """Twenty misses in two hundred requests: in one row, or spread evenly."""
    episode = metrics.attainment_interval(blocks(10, 10, *[0] * 18))
    spread = metrics.attainment_interval(blocks(*[1] * 20))
    assert episode is not None
    assert spread == pytest.approx((0.9, 0.9))
    assert episode[0] < 0.8
    assert episode[1] == 1


def test_there_is_no_interval_with_fewer_requests_than_blocks() -> None:
    assert metrics.attainment_interval(outcomes(*[Req(i, 5) for i in range(19)])) is None
    assert metrics.attainment_interval(outcomes(*[Req(i, 5) for i in range(20)])) == (1, 1)


def test_accuracy_and_utility_have_intervals_too_unless_a_block_met_nothing() -> None:
    half_large = outcomes(*[Req(i, 5, subnet="large" if i < 100 else "small") for i in range(200)])
    low, high = metrics.accuracy_interval(half_large) or (0, 0)
    assert 0.7 < low < 0.75 < high < 0.8
    assert metrics.utility_interval(half_large) == pytest.approx((low, high))
    assert metrics.accuracy_interval(blocks(10, *[0] * 19)) is None
    assert metrics.utility_interval(blocks(10, *[0] * 19)) is not None


@given(st.lists(st.tuples(st.integers(0, 100), st.one_of(st.none(), st.integers(0, 90))), min_size=1, max_size=50))
def test_figures_keep_to_their_ranges(rows: list[tuple[int, int | None]]) -> None:
    any_run = outcomes(*(Req(at, latency) for at, latency in sorted(rows, key=lambda row: row[0])))
    attainment, utility = metrics.attainment(any_run), metrics.utility(any_run)
    assert attainment is not None
    assert utility is not None
    assert 0 <= utility <= attainment <= 1
    low, high = metrics.attainment_interval(any_run) or (attainment, attainment)
    assert 0 <= low <= attainment <= high <= 1
    for shares in (metrics.batch_sizes(any_run), metrics.subnets(any_run)):
        assert sum(shares.values()) == pytest.approx(1 if any(latency is not None for _, latency in rows) else 0)
