"""Every policy, peers with their control loops included, on the one engine."""

from collections import Counter
from itertools import pairwise
from unittest.mock import Mock, patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from superserve_cli.core.nouns import WAIT, Choice
from superserve_cli.core.outcomes import DROPPED, FAILED, LATE, MET, REJECTED
from superserve_cli.engine.simulator import Sharding, simulate
from superserve_cli.errors import BadOption
from superserve_cli.policies import ALL, Control, Policy, Seen, named
from superserve_cli.policies.peers import proteus
from superserve_cli.profiles import Profile
from superserve_cli.traces.trace import Trace
from tests.engine.test_simulator import REQUESTS, SMALL, faults, profiles, told, trace

LATES = st.sampled_from(["drop", "shed", "serve"])


def arrived(requests: list[tuple[int, int]]) -> Trace:
    ordered = sorted(requests, key=lambda r: r[0])
    return trace([a for a, _ in ordered], [s for _, s in ordered])


@settings(max_examples=250, deadline=None)
@given(profiles(), st.sampled_from(ALL), REQUESTS, st.integers(1, 3), LATES, st.data())
def test_every_request_ends_exactly_once_and_no_worker_does_two_things_at_a_time(
    profile: Profile, name: str, requests: list[tuple[int, int]], workers: int, late: str, data: st.DataObject
) -> None:
    happen = data.draw(st.one_of(st.just([]), faults(workers)))
    ended = simulate(arrived(requests), profile, named(name), workers=workers, slo_ns=50, late=late, faults=happen)
    ran = (ended.status == MET) | (ended.status == LATE)
    assert (ended.finish_ns[ran] > ended.start_ns[ran]).all()
    assert (ended.start_ns[ran] >= ended.arrival_ns[ran]).all()
    assert (ended.finish_ns[~ran] == -1).all()
    assert (ended.ended_ns >= ended.arrival_ns).all()
    assert happen or not (ended.status == FAILED).any()
    assert ((ended.status == MET) <= (ended.finish_ns <= ended.deadline_ns)).all()
    for worker in range(workers):
        mine = ran & (ended.worker == worker)
        batches = sorted(set(zip(ended.start_ns[mine].tolist(), ended.finish_ns[mine].tolist(), strict=True)))
        assert all(before[1] <= after[0] for before, after in pairwise(batches))
        sizes = Counter(ended.start_ns[mine].tolist())
        assert all(sizes[start] == size for start, size in zip(ended.start_ns[mine].tolist(), ended.batch_size[mine].tolist(), strict=True))


PLANNING = [name for name in ALL if name != "clipper-aimd"]  # which knows no plan, and finds its batch by missing deadlines


@settings(max_examples=200, deadline=None)
@given(profiles(), st.sampled_from(PLANNING), REQUESTS, st.integers(1, 3))
def test_under_drop_nothing_is_run_that_misses_its_deadline(
    profile: Profile, name: str, requests: list[tuple[int, int]], workers: int
) -> None:
    ended = simulate(arrived(requests), profile, named(name), workers=workers, slo_ns=50, late="drop")
    # a batch runs in the smallest profiled size that holds it, which on these profiles may take longer than the one that was chosen
    growing = all(list(row) == sorted(row) for row in profile.plan)
    assert not growing or not (ended.status == LATE).any()


@settings(max_examples=150, deadline=None)
@given(profiles(), st.sampled_from(ALL), REQUESTS, st.integers(1, 3), LATES, st.data())
def test_compiled_equals_interpreted(
    profile: Profile, name: str, requests: list[tuple[int, int]], workers: int, late: str, data: st.DataObject
) -> None:
    happen = data.draw(st.one_of(st.just([]), faults(workers)))
    routers = Sharding(*data.draw(st.sampled_from([(1, "least-slack"), (3, "least-slack"), (3, "random"), (2, "two-choices")])))
    compiled, interpreted = (
        simulate(
            arrived(requests), profile, named(name), workers=workers, slo_ns=50, late=late, faults=happen, sharding=routers, interpreted=way
        )
        for way in (False, True)
    )
    assert told(compiled) == told(interpreted)


@settings(max_examples=100, deadline=None)
@given(REQUESTS, st.integers(1, 3))
def test_workers_that_look_for_the_least_slack_of_all_routers_see_one_queue(requests: list[tuple[int, int]], workers: int) -> None:
    one_by_one = policy(lambda slack, depth: Choice("a", 1) if slack >= 10 else None)
    alone, shared = (
        simulate(arrived(requests), ONE, one_by_one, workers=workers, slo_ns=50, late="drop", sharding=Sharding(routers))
        for routers in (1, 4)
    )
    assert told(alone) == told(shared)


ONE = Profile(("a",), (1, 2, 4), ((10, 12, 20),), (0.5,))


def policy(choose: object, **control: object) -> Policy:
    plain = Policy("mine", lambda profile, workers: choose)  # type: ignore[arg-type, return-value]
    return Policy("mine", plain.build, control=lambda profile, workers, slo_ns: Control((plain,), **control))  # type: ignore[arg-type]


def at(*arrivals: int, slo: int = 100) -> Trace:
    return trace(arrivals, [slo] * len(arrivals))


def test_a_policy_that_waits_is_asked_again_when_the_slack_has_fallen() -> None:
    patient = policy(lambda slack, depth: WAIT if slack > 30 else Choice("a", 4) if slack >= 20 else None)
    ended = simulate(at(0, 5), ONE, patient, workers=2, slo_ns=1)
    assert told(ended)[0].start_ns == 70  # when the slack of the first, 100 at time 0, has fallen to 30
    assert ended.batch_size.tolist() == [2, 2]


def test_a_policy_that_waits_for_a_full_batch_runs_it_when_it_is_full() -> None:
    patient = policy(lambda slack, depth: Choice("a", 2) if depth >= 2 or slack <= 12 else WAIT)
    ended = simulate(at(0, 7, 9), ONE, patient, workers=2, slo_ns=1)
    assert ended.start_ns.tolist() == [7, 7, 97]  # the third waits until 12 of its 100 are left


def test_who_waits_forever_fails_at_the_deadline() -> None:
    ended = simulate(at(0), ONE, policy(lambda slack, depth: WAIT), workers=1, slo_ns=1, late="drop")
    assert (ended.status.tolist(), ended.ended_ns.tolist()) == ([FAILED], [100])


def test_who_waits_is_shed_when_its_slack_falls_below_what_the_rule_allows() -> None:
    ended = simulate(at(0), ONE, policy(lambda slack, depth: WAIT), workers=1, slo_ns=1, late="shed")
    # alone it takes 10; and 2 * 1 * 20 > 3 * slack * 1 * 4 from a slack of 3 on
    assert (ended.status.tolist(), ended.ended_ns.tolist()) == ([DROPPED], [97])


def test_admission_counts_one_after_another_on_the_first_free_clock() -> None:
    admitted = simulate(at(0, 0, 0, 0, slo=25), ONE, policy(lambda s, d: Choice("a", 1), admit_ns=10), workers=1, slo_ns=1)
    assert admitted.status.tolist() == [MET, MET, REJECTED, REJECTED]
    two = simulate(at(0, 0, 0, 0, slo=25), ONE, policy(lambda s, d: Choice("a", 1), admit_ns=10), workers=2, slo_ns=1)
    assert two.status.tolist() == [MET] * 4


def test_ahead_of_time_a_worker_takes_a_batch_that_starts_when_it_is_free() -> None:
    ahead = policy(lambda slack, depth: Choice("a", 4) if slack >= 20 else None, ahead_ns=6)
    ended = simulate(at(0, 5, 9), ONE, ahead, workers=1, slo_ns=1)
    # the first runs 0..10 alone; at 4 the worker takes what comes; so the second is planned at 5 for 10..20, and misses the third
    assert ended.start_ns.tolist() == [0, 10, 20]
    assert ended.batch_size.tolist() == [1, 1, 1]


def test_what_a_lost_worker_had_taken_ahead_is_run_by_another() -> None:
    ahead = policy(lambda slack, depth: Choice("a", 1) if slack >= 10 else None, ahead_ns=50)
    ended = simulate(at(0, 1, 2), ONE, ahead, workers=2, slo_ns=1, faults=[(5, 0, False)])
    assert ended.worker.tolist() == [1, 1, 1]
    assert ended.start_ns.tolist() == [11, 1, 21]


def test_no_worker_takes_ahead_what_another_could_start_sooner() -> None:
    ahead = policy(lambda slack, depth: Choice("a", 1) if slack >= 10 else None, ahead_ns=50)
    ended = simulate(at(0, 1, 2), ONE, ahead, workers=2, slo_ns=1)
    assert ended.worker.tolist() == [0, 1, 0]
    assert ended.start_ns.tolist() == [0, 1, 10]


def test_the_pair_that_must_start_first_goes_first_and_older_requests_are_dropped() -> None:
    def full(slack: int, depth: int) -> Choice | None:
        if depth >= 4 and slack >= 20:
            return Choice("a", 4)
        return Choice("a", 1) if slack >= 10 else None

    def behind_a_batch(*slacks: int) -> list[int]:
        """What becomes of requests that have these slacks when the worker is free, at 10."""
        crowd = trace([0] + [1] * len(slacks), [100, *(9 + slack for slack in slacks)])
        ended = simulate(crowd, ONE, policy(full, latest_start=True), workers=1, slo_ns=1, late="drop")
        return list(ended.status[1:])

    # the head could run alone, and would have to start within 9; the second must start a batch of 4 within 1
    assert behind_a_batch(19, 21, 22, 23, 24) == [DROPPED, MET, MET, MET, MET]
    # with one request fewer there is no batch of 4 behind the head
    assert behind_a_batch(19, 21, 22, 23)[0] == MET
    # nor does it go first where its own start is less urgent
    assert behind_a_batch(11, 25, 26, 27, 28)[0] == MET


def test_feedback_moves_a_worker_to_another_table() -> None:
    def only(size: int) -> Policy:
        return Policy("mine", lambda profile, workers: lambda slack, depth: Choice("a", size) if depth >= size else WAIT)

    ladder = Policy("mine", only(1).build, control=lambda *_: Control((only(1), only(2)), met=(1, 1), late=(0, 0)))
    ended = simulate(trace([0, 1, 2, 30, 31], [100, 100, 100, 5, 5]), ONE, ladder, workers=1, slo_ns=1, late="drop")
    # alone and in time; then in pairs: the second pair is late, so that the next would be alone again
    assert ended.batch_size.tolist() == [1, 2, 2, 2, 2]
    assert ended.status.tolist() == [MET, MET, MET, LATE, LATE]


def test_a_control_loop_sees_what_has_arrived_and_a_worker_that_gets_another_mode_loads_first() -> None:
    seen: list[Seen] = []

    def tick(now: Seen) -> list[int]:
        seen.append(now)
        return [1]

    slow, fast = (
        Policy(
            "mine",
            lambda profile, workers: lambda slack, depth: Choice("a", 1),
        )
        for _ in range(2)
    )
    loop = Policy("mine", slow.build, control=lambda *_: Control((slow, fast), tick=tick, first_ns=5, period_ns=20, load_ns=30))
    ended = simulate(at(0, 5, 40), ONE, loop, workers=1, slo_ns=1)
    assert seen[:2] == [Seen(5, 1, 0), Seen(25, 2, 1)]  # at 5 the loop comes before the arrival
    assert ended.start_ns.tolist() == [0, 40, 50]  # busy until 10, loading until 40


def test_a_worker_that_is_lost_while_it_loads_must_load_anew() -> None:
    one = Policy("mine", lambda profile, workers: lambda slack, depth: Choice("a", 1))
    loop = Policy("mine", one.build, control=lambda *_: Control((one, one), tick=lambda seen: [1], first_ns=5, period_ns=20, load_ns=30))
    ended = simulate(at(6), ONE, loop, workers=1, slo_ns=1, faults=[(10, 0, False), (12, 0, True)])
    assert ended.start_ns.tolist() == [42]


def test_loading_is_no_batch_that_feedback_follows() -> None:
    one = Policy("mine", lambda profile, workers: lambda slack, depth: Choice("a", 1))
    pair = Policy("mine", lambda profile, workers: lambda slack, depth: Choice("a", 2))
    loop = Control((one, one, pair), met=(0, 2, 2), late=(0, 2, 2), tick=lambda seen: [1], first_ns=5, period_ns=1000, load_ns=30)
    ended = simulate(at(0, 20, 20, 20), ONE, Policy("mine", one.build, control=lambda *_: loop), workers=1, slo_ns=1)
    assert ended.start_ns.tolist() == [0, 40, 50, 50]  # in mode 1 once it has loaded, and in mode 2 after a batch of mode 1


def test_peers_with_a_memory_are_refused_by_the_live_engine() -> None:
    from superserve_cli.engine import Engine

    with pytest.raises(BadOption, match="clockwork has a memory"):
        Engine(SMALL, named("clockwork"), "drop", 1)


def test_a_control_loop_that_would_never_come_to_an_end_is_refused() -> None:
    since_1970 = Trace(np.array([1_700_000_000_000_000_000]))
    with pytest.raises(BadOption, match="policy switching would run 68,000,000,000 times"):
        simulate(since_1970, SMALL, named("switching"), workers=1, slo_ns=50)


def test_an_idle_day_costs_proteus_no_plans() -> None:
    tick = proteus._planner(np.array([0.7, 0.8]), np.array([100.0, 50.0]), 2)
    for seen in range(1, 30):
        tick(Seen(seen * proteus.PERIOD_NS, 10, 0))
    milp = Mock(wraps=optimize.milp)
    with patch.object(proteus, "milp", milp):
        assert [tick(Seen(seen * proteus.PERIOD_NS, 10, 0)) for seen in range(60, 4_320)] == [[1, 1]] * 4_260
    assert milp.call_count <= 1
