"""Lemma 4.1 of the SuperServe paper, on the proxy utility of its equation 2, each part with the conditions under which it holds."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from superserve_cli import profiles as shipped
from superserve_cli.core.nouns import Subnet
from superserve_cli.profiles import Profile
from superserve_cli.profiles.pareto import front
from tests.studies.small import SIZES, profile, profiles

DEADLINES = st.integers(0, 60)
ACCURACIES = st.floats(0.5, 1.0)


def utility(plan: Profile, subnet: Subnet, size: int, deadline_ns: int) -> float:
    """Equation 2: accuracy times batch size where the batch ends by the deadline, else nothing."""
    return (plan.accuracy(subnet) or 0.0) * size if plan.plan_ns(subnet, size) <= deadline_ns else 0.0


@given(profiles(5), st.sampled_from(SIZES), DEADLINES)
def test_some_subnet_of_the_front_has_the_utility_of_any_other_at_no_more_latency(plan: Profile, size: int, deadline_ns: int) -> None:
    best = front(plan, size)
    for subnet in plan.subnets:
        as_fast = [p for p in best if plan.plan_ns(p, size) <= plan.plan_ns(subnet, size)]
        assert max(utility(plan, p, size, deadline_ns) for p in as_fast) >= utility(plan, subnet, size, deadline_ns)


@given(profiles(5), st.sampled_from(SIZES), DEADLINES)
def test_a_dominated_subnet_is_never_missed(plan: Profile, size: int, deadline_ns: int) -> None:
    """What `served` leaves out, at every batch size at once."""
    served = plan.served()
    most = max(utility(plan, subnet, size, deadline_ns) for subnet in plan.subnets)
    assert max(utility(served, subnet, size, deadline_ns) for subnet in served.subnets) == most


@given(ACCURACIES, ACCURACIES, st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.integers(1, 40)] * 3), DEADLINES)
def test_under_a_burst_a_large_batch_of_low_accuracy_beats_a_small_one_of_high_accuracy(
    low: float, high: float, fast: tuple[int, ...], slow: tuple[int, ...], deadline_ns: int
) -> None:
    """Where the large batch on the small subnet takes no longer (the paper's P3), and is larger by at least high / low."""
    assume(low < high)
    plan = profile([fast, slow], [low, high])
    for large in SIZES:
        for small in SIZES:
            if plan.plan_ns("s0", large) <= plan.plan_ns("s1", small) and large * low >= small * high:
                assert utility(plan, "s0", large, deadline_ns) >= utility(plan, "s1", small, deadline_ns)


@pytest.mark.parametrize(("fast", "low"), [((1, 2, 50), 0.6), ((1, 2, 3), 0.2)], ids=["a slower batch", "too low an accuracy"])
def test_a_burst_needs_both_conditions(fast: tuple[int, ...], low: float) -> None:
    plan = profile([fast, (9, 12, 20)], [low, 0.9])
    assert utility(plan, "s0", 4, 15) < utility(plan, "s1", 2, 15)


@pytest.mark.parametrize("name", shipped.shipped())
def test_on_shipped_profiles_a_larger_batch_that_is_no_slower_always_has_the_higher_utility(name: str) -> None:
    """Their accuracies differ by less than a factor of two, and each batch size doubles the one before."""
    plan = shipped.load(name).served()
    pairs = [
        (low, large, high, small)
        for low in plan.cells()
        for high in plan.cells()
        if (low.accuracy or 0) < (high.accuracy or 0) and low.batch_size > high.batch_size and low.plan_ns <= high.plan_ns
        for large, small in [(low.batch_size, high.batch_size)]
    ]
    assert pairs
    for low, large, high, small in pairs:
        assert utility(plan, low.subnet, large, high.plan_ns) > utility(plan, high.subnet, small, high.plan_ns)


GAINS = st.floats(0.001, 0.1)


@given(
    st.integers(1, 8), st.integers(1, 8), ACCURACIES, GAINS, GAINS, st.lists(st.integers(1, 40), min_size=3, max_size=3), st.integers(0, 9)
)
def test_under_light_load_most_on_a_better_subnet_and_some_on_a_worse_one_beat_all_on_the_middle_one(
    few: int, more: int, low: float, loss: float, beyond: float, latencies: list[int], slack_ns: int
) -> None:
    """Where both batches end in time, |B1| > |B2|, and the better subnet gains at least what the worse one loses."""
    many = few + more
    sizes = sorted({many, few, many + few})
    plan = profile([[ns] * len(sizes) for ns in sorted(latencies)], [low, low + loss, low + 2 * loss + beyond], sizes)
    deadline_ns = max(latencies) + slack_ns
    split = utility(plan, "s2", many, deadline_ns) + utility(plan, "s0", few, deadline_ns)
    assert split > utility(plan, "s1", many + few, deadline_ns)


def test_light_load_needs_the_better_subnet_to_gain_what_the_worse_one_loses() -> None:
    plan = profile([[1] * 3] * 3, [0.5, 0.78, 0.8], sizes=[1, 2, 3])
    assert utility(plan, "s2", 2, 1) + utility(plan, "s0", 1, 1) < utility(plan, "s1", 3, 1)
