"""Profiles that make sense and are not what one expects: latencies that fall with the batch, noise, one subnet, one worker."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.nouns import WAIT, Choice
from superserve_cli.core.outcomes import LATE, MET
from superserve_cli.engine import world
from superserve_cli.engine.simulator import simulate
from superserve_cli.policies import Policy, named
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS
from tests.engine.test_simulator import SIZES, SMALL, profiles, told, trace

REQUESTS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 90)), min_size=1, max_size=60)
POLICIES = st.sampled_from(["slackfit", "max-batch", "max-accuracy", "infaas"])


def late_ones(profile: Profile, policy: str, requests: list[tuple[int, int]], workers: int) -> list[tuple[str, int, int, int]]:
    """(subnet, requests in the batch, start, tightest deadline of the batch) of every batch with a late request, under *drop*."""
    requests = sorted(requests, key=lambda r: r[0])
    ended = simulate(
        trace([a for a, _ in requests], [s for _, s in requests]), profile, named(policy), workers=workers, slo_ns=1, late="drop"
    )
    late = np.flatnonzero(np.equal(ended.status, LATE))
    together = [np.flatnonzero((ended.start_ns == ended.start_ns[i]) & (ended.worker == ended.worker[i])) for i in late]
    return [
        (ended.subnets[ended.subnet[i]], int(ended.batch_size[i]), int(ended.start_ns[i]), int(ended.deadline_ns[batch].min()))
        for i, batch in zip(late, together, strict=True)
    ]


@settings(max_examples=60)
@given(profiles(), POLICIES, REQUESTS, st.integers(1, 3))
def test_where_latency_falls_with_the_batch_only_a_batch_that_is_not_full_can_be_late(
    profile: Profile, policy: str, requests: list[tuple[int, int]], workers: int
) -> None:
    """A choice fits by its own latency; a batch that holds fewer requests runs as a smaller one, which may be slower."""
    for subnet, rows, start_ns, deadline_ns in late_ones(profile, policy, requests, workers):
        larger = [size for size in SIZES if size > rows and profile.plan_ns(subnet, size) <= deadline_ns - start_ns]
        assert larger
        assert profile.plan_ns(subnet, rows) > deadline_ns - start_ns


@settings(max_examples=60)
@given(profiles(), POLICIES, REQUESTS, st.integers(1, 3))
def test_where_latency_grows_with_the_batch_nothing_that_runs_is_late(
    profile: Profile, policy: str, requests: list[tuple[int, int]], workers: int
) -> None:
    growing = Profile(profile.subnets, SIZES, tuple(tuple(np.maximum.accumulate(row).tolist()) for row in profile.plan), profile.accuracies)
    assert not late_ones(growing, policy, requests, workers)


def test_a_half_full_batch_of_a_falling_profile_is_late_by_what_the_smaller_one_takes_longer() -> None:
    falling = Profile(("s",), SIZES, ((10, 12, 8),), (0.5,))  # four requests take 8 ns, and one takes 10
    assert late_ones(falling, "max-batch", [(0, 9)], 1) == [("s", 1, 0, 9)]
    assert not late_ones(falling, "max-batch", [(0, 12), *[(1, 17)] * 4], 1)  # from 10 on the worker takes the four together


QUANTILES = st.lists(st.integers(1, 10_000), min_size=len(LEVELS), max_size=len(LEVELS)).map(sorted)


@given(QUANTILES, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_a_drawn_service_time_lies_between_p05_and_p99_and_grows_with_its_number(quantiles: list[int], one: float, other: float) -> None:
    less, more = (world.draw_ns(quantiles, LEVELS, 0, uniform) for uniform in sorted((one, other)))
    assert quantiles[0] <= less <= more <= quantiles[-1]


@given(QUANTILES)
def test_a_drawn_service_time_is_the_quantile_at_its_level(quantiles: list[int]) -> None:
    assert [world.draw_ns(quantiles, LEVELS, 0, level) for level in LEVELS] == quantiles


@settings(max_examples=40)
@given(QUANTILES, REQUESTS, POLICIES, st.integers(1, 3), st.integers(0, 2**32), st.sampled_from(["drop", "shed", "serve"]))
def test_noise_stays_within_the_quantiles_and_equal_seeds_give_equal_runs(
    quantiles: list[int], requests: list[tuple[int, int]], policy: str, workers: int, seed: int, late: str
) -> None:
    cells = np.broadcast_to(np.array(quantiles, np.int64), (len(SMALL.subnets), len(SIZES), len(LEVELS)))
    noisy = Profile(SMALL.subnets, SIZES, SMALL.plan, SMALL.accuracies, np.ascontiguousarray(cells))
    requests = sorted(requests, key=lambda r: r[0])
    arrived = trace([a for a, _ in requests], [s for _, s in requests])
    first, again = (
        simulate(arrived, noisy, named(policy), workers=workers, slo_ns=1, late=late, service="measured", seed=seed) for _ in range(2)
    )
    assert told(first) == told(again)
    took = (first.finish_ns - first.start_ns)[first.start_ns >= 0]
    assert ((took >= quantiles[0]) & (took <= quantiles[-1])).all()


def in_pairs(slack_ns: int, depth: int) -> Choice | None:
    if depth < 2 and slack_ns > 120 * 10**9:
        return WAIT
    return Choice("one", 1) if slack_ns >= 100 * 10**9 else None


def test_batches_of_minutes_on_thousands_of_workers_are_not_shed_for_want_of_digits() -> None:
    minutes = Profile(("one",), (1, 1000), ((100 * 10**9, 200 * 10**9),), (0.7,))
    waits = Policy("waits", lambda profile, workers: in_pairs)
    ended = simulate(trace([0, 0], [150 * 10**9] * 2), minutes, waits, workers=32_767, slo_ns=1, late="shed")
    assert (ended.status == MET).all()  # 3 * slack * workers * rows is more than 2**63


def test_deadlines_a_lifetime_away_are_waited_for() -> None:
    furthest = 2**60
    ended = simulate(trace([furthest], [furthest]), SMALL, named("nexus"), workers=1, slo_ns=1)
    assert (ended.status == MET).all()
