import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.outcomes import STATUSES, Outcomes
from superserve_cli.engine.simulator import simulate
from superserve_cli.errors import BadOption, SuperserveError
from superserve_cli.policies import ALL, named
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.traces.trace import Trace
from tests.engine import reference

SIZES = (1, 2, 4)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Any profile: latencies need not grow with the batch, nor with the accuracy."""
    subnets = draw(st.integers(1, 4))
    plan = draw(st.lists(st.tuples(*[st.integers(1, 40)] * len(SIZES)), min_size=subnets, max_size=subnets))
    accuracies = draw(st.lists(st.sampled_from([0.5, 0.6, 0.7, 0.8]), min_size=subnets, max_size=subnets))
    return profile(plan, accuracies)


def profile(plan: Sequence[tuple[int, ...]], accuracies: Sequence[float]) -> Profile:
    rows = sorted(zip(plan, [f"s{i}" for i in range(len(plan))], accuracies, strict=True), key=lambda row: (row[0][0], row[1]))
    return Profile(tuple(s for _, s, _ in rows), SIZES, tuple(p for p, _, _ in rows), tuple(a for _, _, a in rows))


def plan_of(profile: Profile) -> reference.Plan:
    return reference.Plan(
        {(c.subnet, c.batch_size): c.plan_ns for c in profile.cells()},
        dict(zip(profile.subnets, map(float_of, profile.accuracies), strict=True)),
    )


def float_of(accuracy: float | None) -> float:
    assert accuracy is not None
    return accuracy


def trace(arrivals: Sequence[int], slos: Sequence[int]) -> Trace:
    return Trace(np.array(sorted(arrivals), np.int64), slo_ns=np.array(slos, np.int64))


def chooser(name: str, profile: Profile) -> tuple[list[str], reference.Choose]:
    """(the subnets that a policy may run, the policy) as the reference has it."""
    plan, subnets = plan_of(profile), list(profile.subnets)
    if name.startswith("slackfit"):
        return subnets, reference.slackfit(plan, subnets, int(name.partition(":")[2] or 8))
    if name == "infaas":
        least = min(subnets, key=lambda s: (plan.accuracy[s], plan.latency_ns[s, SIZES[0]], s))
        return [least], reference.largest_fitting(plan, least)
    if name.startswith("fixed"):
        own = name.partition(":")[2]
        return [own], reference.largest_fitting(plan, own)
    return subnets, {"max-batch": reference.max_batch, "max-accuracy": reference.max_accuracy}[name](plan, subnets)


def told(outcomes: Outcomes) -> list[reference.Ended]:
    return [
        reference.Ended(
            STATUSES[outcomes.status[i]],
            int(outcomes.start_ns[i]),
            int(outcomes.finish_ns[i]),
            int(outcomes.ended_ns[i]),
            None if outcomes.subnet[i] < 0 else outcomes.subnets[outcomes.subnet[i]],
            int(outcomes.batch_size[i]),
            int(outcomes.worker[i]),
        )
        for i in range(len(outcomes))
    ]


POLICIES = st.sampled_from(["slackfit", "slackfit:1", "slackfit:3", "max-batch", "max-accuracy", "infaas", "fixed"])
REQUESTS = st.lists(st.tuples(st.integers(0, 120), st.integers(1, 90)), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(profiles(), POLICIES, REQUESTS, st.integers(1, 3), st.sampled_from(["drop", "shed", "serve"]), st.data())
def test_the_engine_equals_an_independent_one(
    profile: Profile, name: str, requests: list[tuple[int, int]], workers: int, late: str, data: st.DataObject
) -> None:
    if name == "fixed":
        name = f"fixed:{data.draw(st.sampled_from(profile.subnets))}"
    requests = sorted(requests, key=lambda r: r[0])
    arrived = trace([a for a, _ in requests], [s for _, s in requests])
    subnets, choose = chooser(name, profile)
    expected = reference.serve(plan_of(profile), subnets, choose, [(a, a + s) for a, s in requests], workers, late)
    assert told(simulate(arrived, profile, named(name), workers=workers, slo_ns=1, late=late)) == expected


@st.composite
def faults(draw: st.DrawFn, workers: int) -> list[tuple[int, int, bool]]:
    """For each worker, losses and returns in turn at growing times."""
    happen: list[tuple[int, int, bool]] = []
    for worker in range(workers):
        times = draw(st.lists(st.integers(0, 200), max_size=4, unique=True))
        happen += [(at, worker, i % 2 == 1) for i, at in enumerate(sorted(times))]
    return happen


@settings(max_examples=150, deadline=None)
@given(profiles(), REQUESTS, st.integers(1, 3), st.sampled_from(["drop", "shed", "serve"]), st.data())
def test_lost_workers_cost_what_the_independent_engine_says(
    profile: Profile, requests: list[tuple[int, int]], workers: int, late: str, data: st.DataObject
) -> None:
    happen = data.draw(faults(workers))
    requests = sorted(requests, key=lambda r: r[0])
    subnets, choose = chooser("slackfit", profile)
    expected = reference.serve(plan_of(profile), subnets, choose, [(a, a + s) for a, s in requests], workers, late, happen)
    arrived = trace([a for a, _ in requests], [s for _, s in requests])
    ended = told(simulate(arrived, profile, named("slackfit"), workers=workers, slo_ns=1, late=late, faults=happen))
    assert [(e.status, e.start_ns, e.finish_ns, e.worker) for e in ended] == [
        (e.status, e.start_ns, e.finish_ns, e.worker) for e in expected
    ]


@settings(max_examples=50, deadline=None)
@given(profiles(), REQUESTS, st.lists(st.sampled_from([0.0, 0.55, 0.6, 0.75, 0.9]), min_size=60, max_size=60))
def test_a_batch_never_serves_a_request_below_its_floor(profile: Profile, requests: list[tuple[int, int]], floors: list[float]) -> None:
    requests = sorted(requests, key=lambda r: r[0])
    floor = np.array(floors[: len(requests)])
    arrived = Trace(np.array([a for a, _ in requests], np.int64), slo_ns=np.array([s for _, s in requests], np.int64), min_accuracy=floor)
    ended = simulate(arrived, profile, named("slackfit"), workers=2, slo_ns=1, late="serve")
    ran = ended.subnet >= 0
    assert (ended.accuracy[ran] >= floor[ran]).all()
    best = max(map(float_of, profile.accuracies))
    assert ((ended.status == STATUSES.index("rejected")) == (floor > best)).all()


@settings(max_examples=50, deadline=None)
@given(profiles(), REQUESTS, st.lists(st.integers(1, 6), min_size=60, max_size=60))
def test_rows_of_a_request_stay_together_and_batches_hold_them(profile: Profile, requests: list[tuple[int, int]], sizes: list[int]) -> None:
    requests = sorted(requests, key=lambda r: r[0])
    rows = np.array(sizes[: len(requests)], np.int32)
    arrived = Trace(np.array([a for a, _ in requests], np.int64), slo_ns=np.array([s for _, s in requests], np.int64), size=rows)
    ended = simulate(arrived, profile, named("slackfit"), workers=2, slo_ns=1, late="serve")
    assert ((ended.status == STATUSES.index("rejected")) == (rows > SIZES[-1])).all()
    for start, worker in {(s, w) for s, w in zip(ended.start_ns.tolist(), ended.worker.tolist(), strict=True) if w >= 0}:
        assert rows[(ended.start_ns == start) & (ended.worker == worker)].sum() <= SIZES[-1]


SMALL = profile([(10, 12, 20), (20, 30, 50)], [0.6, 0.8])


def with_quantiles(profile: Profile, quantiles: Sequence[int]) -> Profile:
    cells = np.broadcast_to(np.array(quantiles, np.int64), (len(profile.subnets), len(SIZES), len(LEVELS)))
    return Profile(profile.subnets, SIZES, profile.plan, profile.accuracies, np.ascontiguousarray(cells))


def test_measured_service_draws_one_uniform_number_per_batch_from_the_seed() -> None:
    noisy = with_quantiles(SMALL, (5, 10, 20, 30, 90, 100))
    arrived = trace([1000 * i for i in range(200)], [500] * 200)
    ended = simulate(arrived, noisy, named("slackfit"), workers=1, slo_ns=1, service="measured", seed=7)
    uniform = np.random.default_rng(7).random(200)
    assert (ended.finish_ns - ended.start_ns).tolist() == np.floor(np.interp(uniform, LEVELS, (5, 10, 20, 30, 90, 100)) + 0.5).astype(
        int
    ).tolist()


def test_equal_seeds_give_equal_runs_and_other_seeds_others() -> None:
    noisy = with_quantiles(SMALL, (5, 10, 20, 30, 90, 100))
    arrived = trace(range(0, 4000, 20), [80] * 200)
    runs = [simulate(arrived, noisy, named("slackfit"), workers=1, slo_ns=1, service="measured", seed=seed) for seed in (1, 1, 2)]
    assert told(runs[0]) == told(runs[1]) != told(runs[2])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"workers": 0}, "0 workers"),
        ({"workers": 40_000}, "40000 workers"),
        ({"slo_ns": 0}, "SLO of 0"),
        ({"late": "never"}, "no late rule 'never'"),
        ({"service": "slow"}, "no service rule 'slow'"),
        ({"service": "measured"}, "no quantiles"),
    ],
)
def test_senseless_options_are_refused(wrong: dict[str, object], says: str) -> None:
    options: dict[str, object] = {"workers": 1, "slo_ns": 50, **wrong}
    with pytest.raises(SuperserveError, match=says):
        simulate(trace([0], [10]), SMALL, named("slackfit"), **options)  # type: ignore[arg-type]


def test_a_fixed_subnet_that_is_not_served_is_refused() -> None:
    with pytest.raises(SuperserveError, match="no served subnet 's9'"):
        simulate(trace([0], [10]), SMALL, named("fixed:s9"), workers=1, slo_ns=1)
    with pytest.raises(BadOption, match="needs a subnet"):
        named("fixed")


BOUNDS_CHECKED = """
import numpy as np
from superserve_cli.engine.simulator import Sharding, simulate
from superserve_cli.policies import ALL, named
from superserve_cli.traces.trace import Trace
from tests.engine.test_simulator import SMALL
rng = np.random.default_rng(0)
arrived = Trace(np.sort(rng.integers(0, 20_000, 2_000)), slo_ns=rng.integers(5, 90, 2_000), size=rng.integers(1, 6, 2_000).astype(np.int32),
                min_accuracy=rng.choice([0.0, 0.7, 0.9], 2_000))
for policy in ALL:
    for late in ("drop", "shed", "serve"):
        for faults in ([], [(50, 0, False), (900, 0, True)]):
            for routers in (Sharding(), Sharding(4, "two-choices")):
                ended = simulate(arrived, SMALL, named(policy), workers=4, slo_ns=9, late=late, faults=faults, sharding=routers)
                print(np.bincount(ended.status, minlength=5).tolist())
"""


def test_compiled_code_stays_within_its_arrays(tmp_path: Path) -> None:
    """Compiled code does not check bounds by itself, so one run with checks; its results must be those without."""
    root = Path(__file__).parents[2]

    def run(**more: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(root), **more}
        return subprocess.run([sys.executable, "-c", BOUNDS_CHECKED], env=environment, check=True, capture_output=True, text=True).stdout

    checked = run(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert checked == run()
    assert checked.count("[") == 12 * len(ALL)


@pytest.mark.parametrize("late", ["drop", "shed", "serve"])
def test_queues_keep_their_order_when_every_request_is_more_urgent_than_those_before(late: str) -> None:
    """No two of these fit into one lane of the queue; every third ties with the one before."""
    requests = [(i // 40, 400 - i - i % 3 // 2) for i in range(120)]
    subnets, choose = chooser("slackfit", SMALL)
    expected = reference.serve(plan_of(SMALL), subnets, choose, [(a, a + s) for a, s in requests], 2, late)
    arrived = trace([a for a, _ in requests], [s for _, s in requests])
    assert told(simulate(arrived, SMALL, named("slackfit"), workers=2, slo_ns=1, late=late)) == expected


def test_requests_of_a_lost_worker_are_queued_again_before_later_ones_with_the_same_deadline() -> None:
    arrived, lost = trace([0] * 4, [29] * 4), [(1, 0, False)]
    # two run alone and two wait; at 10 the worker that is left has time for a pair
    ended = simulate(arrived, SMALL, named("fixed:s0"), workers=2, slo_ns=1, late="drop", faults=lost)
    assert ended.start_ns.tolist()[:3] == [10, 0, 10]
