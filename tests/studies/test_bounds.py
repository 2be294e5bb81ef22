from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli import traces
from superserve_cli.engine.simulator import simulate
from superserve_cli.policies import every, named
from superserve_cli.profiles import Profile, load
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.reports import metrics
from superserve_cli.studies import taut
from superserve_cli.studies.bounds import utility_bound
from superserve_cli.traces.trace import Trace
from tests.studies.small import LATE, SIZES, Request, best_sharing, equal_slos, profile, profiles, requests, trace

ROUNDING = 1e-12
"""What two sums of the same hundred accuracies may differ by."""
ONE = profile([[10]], [0.8], sizes=[1])
TWO = profile([[4], [10]], [0.6, 0.8], sizes=[1])


def bound(plan: Profile, asked: Sequence[Request], workers: int = 1) -> float | None:
    return utility_bound(trace(asked), plan, workers=workers, slo_ns=1)


def test_a_request_that_just_fits_can_be_met_and_one_that_does_not_cannot() -> None:
    assert bound(ONE, [(0, 10)]) == 0.8
    assert bound(ONE, [(0, 9)]) == 0


def test_requests_at_one_instant_share_the_slo_evenly() -> None:
    # 10 ns for two: 5 each, a sixth of the way from (4, 0.6) to (10, 0.8)
    assert bound(TWO, [(0, 10), (0, 10)]) == pytest.approx(0.6 + 0.2 / 6, abs=ROUNDING)


def test_the_last_request_has_its_whole_slo_after_the_last_arrival() -> None:
    # 18 ns from the first arrival to the last deadline, 9 each: the first passes on at 9, when the second is there
    assert bound(ONE, [(0, 10), (8, 10)]) == pytest.approx(0.9 * 0.8, abs=ROUNDING)


def test_time_that_passes_with_nobody_there_is_lost() -> None:
    assert bound(ONE, [(0, 10), (0, 10), (30, 10)]) == pytest.approx((0.4 + 0.4 + 0.8) / 3, abs=ROUNDING)
    assert bound(ONE, [(0, 10), (0, 10), (10, 10)]) == pytest.approx((0.4 + 0.4 + 0.8) / 3, abs=ROUNDING)


def test_a_burst_cannot_use_the_time_behind_its_deadline() -> None:
    # 8 ns for each of the first three, until 24; the last has 20 ns, of which more than 10 are worth nothing
    assert bound(ONE, [(0, 24)] * 3 + [(20, 24)]) == pytest.approx((3 * 0.64 + 0.8) / 4, abs=ROUNDING)


def test_a_burst_to_come_cannot_use_the_time_before_its_arrival() -> None:
    # the first has 20 ns alone, and the other three 24 ns together from then on
    assert bound(ONE, [(0, 24)] + [(20, 24)] * 3) == pytest.approx((0.8 + 3 * 0.64) / 4, abs=ROUNDING)


def test_workers_add_up() -> None:
    assert bound(ONE, [(0, 10)] * 4, workers=2) == pytest.approx(0.4, abs=ROUNDING)
    assert bound(ONE, [(0, 10)] * 4, workers=4) == pytest.approx(0.8, abs=ROUNDING)


def test_a_batch_is_charged_to_all_that_it_holds() -> None:
    batched = profile([[10, 12, 16]], [0.8])
    assert bound(batched, [(0, 16)] * 4) == pytest.approx(0.8, abs=ROUNDING)
    # the batch of four does not fit into 15 ns: 6 ns each at best, and there are 15 / 4
    assert bound(batched, [(0, 15)] * 4) == pytest.approx(0.8 * 15 / 24, abs=ROUNDING)


def test_a_subnet_off_the_concave_front_is_worth_nothing() -> None:
    # at 7 ns the mix of the two others has 0.7
    assert bound(profile([[4], [10], [7]], [0.6, 0.8, 0.65], sizes=[1]), [(0, 14), (0, 14)]) == pytest.approx(0.7, abs=ROUNDING)


def test_what_no_subnet_can_meet_counts_nothing_and_takes_no_time() -> None:
    plan = profile([[4, 6, 8]], [0.8])
    asked = Trace(
        np.zeros(4, np.int64), slo_ns=np.array([8, 3, 8, 8]), min_accuracy=np.array([0, 0, 0.9, 0]), size=np.array([1, 1, 1, 5], np.int32)
    )
    assert utility_bound(asked, plan, workers=1, slo_ns=1) == pytest.approx(0.2, abs=ROUNDING)


def test_requests_of_several_rows_are_charged_for_them() -> None:
    # four rows hold two of them: 4 ns each
    asked = Trace(np.zeros(4, np.int64), size=np.full(4, 2, np.int32))
    assert utility_bound(asked, profile([[4, 6, 8]], [0.8]), workers=1, slo_ns=8) == pytest.approx(0.4, abs=ROUNDING)


def test_measured_service_is_charged_its_fastest_quantile() -> None:
    quantiles = np.array([[[5, 6, 7, 8, 9, 10]]], np.int64)
    noisy = replace(ONE, quantiles_ns=quantiles)
    asked = trace([(0, 10), (0, 10)])
    assert utility_bound(asked, noisy, workers=1, slo_ns=1, service="fixed") == pytest.approx(0.4, abs=ROUNDING)
    assert utility_bound(asked, noisy, workers=1, slo_ns=1, service="measured") == pytest.approx(0.8, abs=ROUNDING)


def test_without_accuracies_or_requests_there_is_no_bound() -> None:
    assert bound(profile([[4], [10]], [0.6, None], sizes=[1]), [(0, 10)]) is None
    assert utility_bound(Trace(np.zeros(0, np.int64)), ONE, workers=1, slo_ns=1) is None


def relaxed(plan: Profile, asked: Trace, workers: int) -> float:
    """The bound's relaxation as a linear programme: every cell that fits the longest SLO, at its time per request."""
    slos = asked.deadlines_ns(1) - asked.arrival_ns
    costs = [(cell.plan_ns / cell.batch_size, cell.accuracy or 0.0) for cell in plan.cells() if cell.plan_ns <= slos.max()]
    return best_sharing(costs, list(zip(asked.arrival_ns.tolist(), asked.deadlines_ns(1).tolist(), strict=True)), workers)


@settings(max_examples=80)
@given(profiles(), equal_slos(9), st.integers(1, 3))
def test_for_equal_slos_the_bound_is_the_best_that_a_fluid_could_do(plan: Profile, asked: list[Request], workers: int) -> None:
    assert bound(plan, asked, workers) == pytest.approx(relaxed(plan, trace(asked), workers), abs=1e-7)


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(40, 90)), min_size=1, max_size=9), profiles(), st.integers(1, 3))
def test_for_mixed_slos_the_bound_is_no_less(asked: list[Request], plan: Profile, workers: int) -> None:
    # every cell fits every SLO here, so that all can be met
    found = bound(plan, asked, workers)
    assert found is not None
    assert found >= relaxed(plan, trace(asked), workers) - 1e-7


@st.composite
def any_trace(draw: st.DrawFn) -> Trace:
    """Mixed SLOs, and perhaps floors, and perhaps several rows."""
    asked = trace(draw(requests(60, latest=200)))
    many = len(asked)
    floors = draw(st.none() | st.lists(st.sampled_from([0.0, 0.55, 0.7, 0.9]), min_size=many, max_size=many).map(np.array))
    rows = draw(st.none() | st.lists(st.integers(1, 5), min_size=many, max_size=many).map(lambda sizes: np.array(sizes, np.int32)))
    return replace(asked, min_accuracy=floors, size=rows)


FAULTS = st.lists(st.integers(0, 200), max_size=4, unique=True).map(lambda at: [(ns, 0, i % 2 == 1) for i, ns in enumerate(sorted(at))])


@settings(max_examples=150)
@given(profiles(), any_trace(), st.integers(1, 3), st.sampled_from(LATE), FAULTS, st.integers(0, 3), st.data())
def test_no_policy_passes_the_bound(
    plan: Profile, asked: Trace, workers: int, late: str, faults: list[tuple[int, int, bool]], seed: int, data: st.DataObject
) -> None:
    quantiles = np.sort(np.random.default_rng(seed).integers(1, 40, (len(plan.subnets), len(SIZES), len(LEVELS))))
    noisy = replace(plan, quantiles_ns=quantiles)
    for service in ("fixed", "measured"):
        most = utility_bound(asked, noisy, workers=workers, slo_ns=1, service=service)
        assert most is not None
        policy = data.draw(st.sampled_from(every(noisy)))
        ended = simulate(asked, noisy, policy, workers=workers, slo_ns=1, late=late, service=service, faults=faults, seed=seed)
        reached = metrics.utility(ended)
        assert reached is not None
        assert reached <= most + ROUNDING


def test_a_good_policy_comes_near_to_the_bound() -> None:
    """A bound that nobody comes near to would prove nothing: the paper's bursty trace on the modelled profile."""
    modelled = load("modelled").served()
    bursty = traces.load("bursty", qps=6400, duration_s=5, cv2=4, base_share=1500 / 6400)
    most = utility_bound(bursty, modelled, workers=8, slo_ns=36_000_000)
    reached = metrics.utility(simulate(bursty, modelled, named("max-batch"), workers=8, slo_ns=36_000_000))
    assert most is not None
    assert reached is not None
    assert most < 0.8  # not every request can have the best subnet
    assert 0 <= most - reached < 0.002


@settings(max_examples=100)
@given(requests(40))
def test_strings_run_compiled_as_interpreted_and_within_their_windows(asked: list[Request]) -> None:
    opens, closes = (np.array(sorted(column)) for column in zip(*((at, at + slo) for at, slo in asked), strict=True))
    steps = taut.shares_ns(opens, closes)
    interpreted = np.full(len(opens), np.nan)
    chains = [taut.Chain(np.empty(len(opens) + 1, np.int64), np.empty(len(opens) + 1, np.int64), np.zeros(2, np.int64)) for _ in "hl"]
    taut._pull_all.py_func(opens, closes, *chains, interpreted)
    assert (steps == interpreted).all()
    now = 0.0
    for step, begin, end in zip(steps.tolist(), opens.tolist(), closes.tolist(), strict=True):
        now = max(now, begin) + step
        assert step >= 0
        assert now <= end + 1e-9
