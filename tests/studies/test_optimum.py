import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.outcomes import STATUSES
from superserve_cli.engine.simulator import simulate
from superserve_cli.errors import BadOption
from superserve_cli.policies import every
from superserve_cli.profiles import Profile
from superserve_cli.reports import metrics
from superserve_cli.studies.bounds import utility_bound
from superserve_cli.studies.optimum import optimal_utility
from superserve_cli.traces.trace import Trace
from tests.studies.small import LATE, Request, best_of_all, equal_slos, profile, profiles, requests, trace

ROUNDING = 1e-9
FAST_AND_GOOD = profile([[4, 5, 8], [9, 12, 20]], [0.6, 0.8])


def optimum(plan: Profile, asked: list[Request], workers: int = 1) -> float:
    return optimal_utility(trace(asked), plan, workers=workers, slo_ns=1)


def test_a_batch_waits_for_its_latest_request() -> None:
    # both end by 7 as a pair from 2 on (5 ns), but not one after the other (4 + 4 ns)
    assert optimum(FAST_AND_GOOD, [(0, 7), (2, 5)]) == pytest.approx(0.6)
    # if the second comes at 3, only a pair that starts before could end by 7
    assert optimum(FAST_AND_GOOD, [(0, 7), (3, 4)]) == pytest.approx(0.3)


def test_the_best_schedule_serves_some_well_and_others_fast() -> None:
    # 17 ns: 9 for one on the better subnet, then 8 for four on the faster one; five at once fit no batch
    assert optimum(FAST_AND_GOOD, [(0, 17)] * 5) == pytest.approx((0.8 + 4 * 0.6) / 5)


def test_nested_batches_of_two_workers_may_mix_requests() -> None:
    """The long batch needs the two in the middle, the short one inside its time takes the first and the last: no batch is contiguous."""
    plan = profile([[30, 2, 30], [30, 20, 30]], [0.5, 0.9])
    asked = [(0, 14), (1, 22), (2, 21), (12, 2)]
    assert optimum(plan, asked, workers=2) == pytest.approx((2 * 0.9 + 2 * 0.5) / 4)
    assert best_of_all(plan, trace(asked), 2) == pytest.approx((2 * 0.9 + 2 * 0.5) / 4)


def test_a_batch_runs_as_the_smallest_size_that_holds_it_even_where_a_larger_one_is_faster() -> None:
    odd = profile([[9, 20, 2]], [0.8])
    assert optimum(odd, [(0, 8)] * 2) == 0
    assert optimum(odd, [(0, 8)] * 3) == pytest.approx(0.8)


def test_floors_are_kept() -> None:
    asked = Trace(np.zeros(2, np.int64), min_accuracy=np.array([0.7, 0.9]))
    assert optimal_utility(asked, FAST_AND_GOOD, workers=1, slo_ns=20) == pytest.approx(0.4)


@settings(max_examples=60)
@given(profiles(2), requests(5), st.integers(1, 2), st.data())
def test_the_optimum_is_what_trying_everything_finds(plan: Profile, asked: list[Request], workers: int, data: st.DataObject) -> None:
    floors = data.draw(st.none() | st.lists(st.sampled_from([0.0, 0.6, 0.8]), min_size=len(asked), max_size=len(asked)))
    small = trace(asked, floors)
    assert optimal_utility(small, plan, workers=workers, slo_ns=1) == pytest.approx(best_of_all(plan, small, workers), abs=ROUNDING)


@settings(max_examples=60)
@given(profiles(2), st.one_of(requests(9), equal_slos(9)), st.integers(1, 3), st.data())
def test_the_bound_is_no_less_than_the_optimum_and_the_optimum_no_less_than_any_policy(
    plan: Profile, asked: list[Request], workers: int, data: st.DataObject
) -> None:
    floors = data.draw(st.none() | st.lists(st.sampled_from([0.0, 0.6, 0.8]), min_size=len(asked), max_size=len(asked)))
    small = trace(asked, floors)
    best = optimal_utility(small, plan, workers=workers, slo_ns=1)
    most = utility_bound(small, plan, workers=workers, slo_ns=1)
    assert most is not None
    assert best <= most + ROUNDING
    policy, late = data.draw(st.sampled_from(every(plan))), data.draw(st.sampled_from(LATE))
    outcomes = simulate(small, plan, policy, workers=workers, slo_ns=1, late=late)
    reached = metrics.utility(outcomes)
    assert reached is not None
    # a batch that is faster than a smaller one may be filled up with a request that is late, which no optimal schedule runs
    falls = any(list(row) != sorted(row) for row in plan.plan)
    assert reached <= best + ROUNDING or (falls and (outcomes.status == STATUSES.index("late")).any())


@pytest.mark.parametrize(
    ("asked", "plan", "says"),
    [
        (Trace(np.zeros(0, np.int64)), FAST_AND_GOOD, "without requests"),
        (Trace(np.zeros(1, np.int64)), profile([[1, 1, 1]], [None]), "accuracy unknown"),
        (Trace(np.zeros(1, np.int64), size=np.array([2], np.int32)), FAST_AND_GOOD, "one row"),
        (Trace(np.arange(60) * 7), FAST_AND_GOOD, "more than 5000"),
    ],
)
def test_what_cannot_be_solved_exactly_is_refused(asked: Trace, plan: Profile, says: str) -> None:
    with pytest.raises(BadOption, match=says):
        optimal_utility(asked, plan, workers=1, slo_ns=60)
