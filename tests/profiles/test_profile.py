from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadOption, Unknown
from superserve_cli.profiles import Profile, front

PAPER_LIKE = Profile(
    subnets=("small", "middle", "large"),
    batch_sizes=(1, 4, 16),
    plan=((1_000, 2_000, 6_000), (2_000, 5_000, 15_000), (3_000, 8_000, 25_000)),
    accuracies=(0.73, 0.77, 0.80),
)
PLANS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=8)


def profile(plans: list[tuple[int, ...]], accuracies: list[float | None]) -> Profile:
    order = sorted(range(len(plans)), key=lambda i: (plans[i][0], f"s{i}"))
    return Profile(
        subnets=tuple(f"s{i}" for i in order),
        batch_sizes=tuple(2**i for i in range(len(plans[0]))),
        plan=tuple(plans[i] for i in order),
        accuracies=tuple(accuracies[i] for i in order),
    )


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    plans = draw(PLANS)
    accuracies = draw(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=len(plans), max_size=len(plans)))
    return profile([*plans], [*accuracies])


def test_a_number_of_rows_costs_what_the_next_profiled_batch_costs() -> None:
    assert [PAPER_LIKE.plan_ns("small", rows) for rows in (1, 2, 4, 5, 16)] == [1_000, 2_000, 2_000, 6_000, 6_000]


def test_an_unknown_subnet_is_refused_with_what_exists() -> None:
    with pytest.raises(Unknown, match="'smal'") as refused:
        PAPER_LIKE.accuracy("smal")
    assert "small" in refused.value.hint


def test_its_cells_are_every_subnet_at_every_batch_size() -> None:
    cells = list(PAPER_LIKE.cells())
    assert len(cells) == 9
    assert cells[4] == ("middle", 4, 5_000, 0.77)
    assert (PAPER_LIKE.smallest, PAPER_LIKE.largest) == (1, 16)


def test_a_subnet_that_another_beats_everywhere_is_not_served() -> None:
    worse = profile([(10, 20), (11, 20), (9, 30)], [0.5, 0.5, 0.4])
    assert worse.dominated("s1")
    assert set(worse.served().subnets) == {"s0", "s2"}
    assert worse.served("all") is worse
    assert worse.served(" s1 , s2").subnets == ("s2", "s1")


def test_equal_subnets_do_not_drive_each_other_out() -> None:
    assert profile([(10, 20), (10, 20)], [0.5, 0.5]).served().subnets == ("s0", "s1")


def test_a_subnet_of_unknown_accuracy_is_served_and_beats_nobody() -> None:
    assert set(profile([(10, 20), (5, 5)], [0.5, None]).served().subnets) == {"s0", "s1"}


@pytest.mark.parametrize("which", ["", " , "])
def test_no_subnet_at_all_is_refused(which: str) -> None:
    with pytest.raises(BadOption):
        PAPER_LIKE.served(which)
    with pytest.raises(Unknown):
        PAPER_LIKE.served("small,tiny")


@given(measured=profiles())
def test_whoever_is_not_served_has_somebody_served_who_is_as_good_everywhere(measured: Profile) -> None:
    served = measured.served()
    assert len(served.subnets) >= 1
    for subnet in set(measured.subnets) - set(served.subnets):
        i = measured.index(subnet)
        assert any(
            a >= measured.accuracies[i] and all(p <= q for p, q in zip(plan, measured.plan[i], strict=True))  # type: ignore[operator]
            for a, plan in zip(served.accuracies, served.plan, strict=True)
        )


@given(measured=profiles(), at=st.integers(0, 1))
def test_the_front_ascends_and_nobody_lies_above_it(measured: Profile, at: int) -> None:
    size = measured.batch_sizes[at]
    best = [(measured.plan_ns(s, size), measured.accuracy(s) or 0) for s in front(measured, size)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(best))
    for subnet in measured.subnets:
        assert any(ns <= measured.plan_ns(subnet, size) and a >= (measured.accuracy(subnet) or 0) for ns, a in best)


def test_a_subnet_of_unknown_accuracy_is_in_no_front() -> None:
    assert front(profile([(10, 20), (5, 5)], [0.5, None]), 1) == ["s0"]


def test_keeping_some_subnets_keeps_their_order_and_their_quantiles() -> None:
    quantiles = np.arange(3 * 3 * 6).reshape(3, 3, 6)
    some = replace(PAPER_LIKE, quantiles_ns=quantiles).only(["large", "small"])
    assert some.subnets == ("small", "large")
    assert some.plan == (PAPER_LIKE.plan[0], PAPER_LIKE.plan[2])
    assert some.quantiles_ns is not None
    assert some.quantiles_ns.tolist() == quantiles[[0, 2]].tolist()
    assert some.accuracy("large") == 0.80


def test_the_sustained_rate_is_that_of_the_faster_median_subnet_at_the_largest_batch() -> None:
    assert PAPER_LIKE.sustained_qps(2) == pytest.approx(2 * 16 / 15e-6)
    assert PAPER_LIKE.only(["small", "large"]).sustained_qps(1) == pytest.approx(16 / 6e-6)


def test_the_default_slo_is_20_ms_or_1_2_times_the_slowest_cell() -> None:
    assert PAPER_LIKE.default_slo_ns() == 20_000_000
    assert profile([(10, 100_000_000)], [0.5]).default_slo_ns() == 120_000_000
