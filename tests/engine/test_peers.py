"""The engine's hook against an engine that was written from the policies' own words, request by request."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.engine.simulator import simulate
from superserve_cli.policies import Control, Policy, named
from superserve_cli.profiles import Profile
from tests.engine import reference_peers as peers
from tests.engine.reference import Ended
from tests.engine.test_simulator import REQUESTS, faults, plan_of, profiles, told, trace

SLO = 50
LATES = st.sampled_from(["drop", "shed", "serve"])
Requests = list[tuple[int, int]]
Faults = list[tuple[int, int, bool]]


def with_control(name: str, **changes: object) -> Policy:
    """A named policy, its control changed."""
    policy = named(name)
    assert policy.control is not None
    made = policy.control

    def control(profile: Profile, workers: int, slo_ns: int) -> Control:
        return replace(made(profile, workers, slo_ns), **changes)  # type: ignore[arg-type]

    return replace(policy, control=control)


def both(
    profile: Profile,
    policy: Policy,
    peer: peers.Peer,
    requests: Requests,
    workers: int,
    late: str,
    happen: Faults,
    floors: list[float] | None = None,
) -> tuple[list[Ended], list[Ended]]:
    requests = sorted(requests, key=lambda r: r[0])
    arrived = trace([a for a, _ in requests], [s for _, s in requests])
    if floors is not None:
        arrived = replace(arrived, min_accuracy=np.array(floors))
    ended = told(simulate(arrived, profile, policy, workers=workers, slo_ns=SLO, late=late, faults=happen))
    return ended, peers.serve(plan_of(profile), peer, [(a, a + s) for a, s in requests], workers, late, SLO, happen, floors)


def growing(profile: Profile) -> Profile:
    """The same profile, its latencies sorted by batch size."""
    return replace(profile, plan=tuple(tuple(sorted(row)) for row in profile.plan))


@settings(max_examples=300, deadline=None)
@given(profiles(), st.sampled_from(["clipper-aimd", "nexus", "alpaserve"]), REQUESTS, st.integers(1, 3), LATES, st.data())
def test_peers_of_one_model_equal_an_independent_engine(
    profile: Profile, name: str, requests: Requests, workers: int, late: str, data: st.DataObject
) -> None:
    happen = data.draw(st.one_of(st.just([]), faults(workers)))
    plan = plan_of(profile)
    subnet = peers.median(plan)
    peer = {
        "clipper-aimd": lambda: peers.clipper_aimd(plan, subnet, SLO),
        "nexus": lambda: peers.nexus(plan, subnet, SLO),
        "alpaserve": lambda: peers.alpaserve(plan, subnet),
    }[name]()
    ended, expected = both(profile, named(name), peer, requests, workers, late, happen)
    assert ended == expected


@settings(max_examples=300, deadline=None)
@given(profiles(), st.sampled_from([0, 3, 10, 40]), REQUESTS, st.integers(1, 3), LATES, st.data())
def test_clockwork_equals_an_independent_engine(
    profile: Profile, ahead: int, requests: Requests, workers: int, late: str, data: st.DataObject
) -> None:
    profile = growing(profile)
    happen = data.draw(st.one_of(st.just([]), faults(workers)))
    plan = plan_of(profile)
    peer = peers.clockwork(plan, peers.median(plan), ahead)
    ended, expected = both(profile, with_control("clockwork", ahead_ns=ahead), peer, requests, workers, late, happen)
    assert ended == expected


@settings(max_examples=300, deadline=None)
@given(profiles(), st.sampled_from(["switching", "proteus"]), REQUESTS, st.integers(1, 3), LATES, st.data())
def test_workers_that_are_given_another_model_equal_an_independent_engine(
    profile: Profile, name: str, requests: Requests, workers: int, late: str, data: st.DataObject
) -> None:
    happen = data.draw(st.one_of(st.just([]), faults(workers)))
    plan = plan_of(profile)
    subnets = peers.ranked(plan)
    mode = st.integers(0, len(subnets) - 1)
    orders = data.draw(st.lists(st.lists(mode, min_size=workers, max_size=workers), min_size=1, max_size=6))
    loop = peers.Orders(data.draw(st.integers(0, 30)), data.draw(st.integers(5, 60)), orders)
    control: dict[str, object] = {"tick": lambda seen: loop.at(seen.now_ns), "first_ns": loop.first, "period_ns": loop.period}
    load = data.draw(st.sampled_from([0, 7, 40])) if name == "switching" else 0
    made = {
        "switching": lambda: peers.switching(plan, subnets, loop, load),
        "proteus": lambda: peers.proteus(plan, subnets, loop),
    }
    floor = st.sampled_from([0.0, 0.0, 0.55, 0.6, 0.75, 0.9])
    floors = data.draw(st.one_of(st.none(), st.lists(floor, min_size=len(requests), max_size=len(requests))))
    peer = made[name]()
    if data.draw(st.booleans()):  # feedback beside the orders: none of the peers has both, a user's policy may
        peer.steps = data.draw(st.lists(st.tuples(mode, mode), min_size=len(subnets), max_size=len(subnets)))
    control |= {"load_ns": load, "met": tuple(met for met, _ in peer.steps), "late": tuple(late for _, late in peer.steps)}
    ended, expected = both(profile, with_control(name, **control), peer, requests, workers, late, happen, floors)
    assert ended == expected
