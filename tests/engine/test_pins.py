import random

from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.nouns import Request
from superserve_cli.engine import Dispatch, Drop, Engine, Wait
from superserve_cli.policies import Policy, named
from superserve_cli.profiles import Profile
from tests.engine.test_live import PATIENT, live
from tests.engine.test_simulator import REQUESTS, SMALL, profiles

LATES = st.sampled_from(["drop", "shed", "serve"])
POLICIES = st.sampled_from([*(named(name) for name in ("slackfit", "max-batch", "price", "infaas")), PATIENT])


@settings(max_examples=100, deadline=None)
@given(profiles(), POLICIES, REQUESTS, st.integers(1, 3), LATES, st.data())
def test_requests_that_are_all_pinned_to_a_subnet_are_served_as_by_the_policy_that_knows_no_other(
    profile: Profile, policy: Policy, arrivals: list[tuple[int, int]], workers: int, late: str, data: st.DataObject
) -> None:
    subnet = data.draw(st.sampled_from(profile.subnets))
    arrivals = sorted(arrivals)
    pinned = [Request(i, a, a + slo, subnet=subnet) for i, (a, slo) in enumerate(arrivals)]
    free = [Request(i, a, a + slo) for i, (a, slo) in enumerate(arrivals)]
    assert live(profile, policy, pinned, workers, late) == live(profile, named(f"fixed:{subnet}"), free, workers, late)


@settings(max_examples=100, deadline=None)
@given(profiles(), POLICIES, LATES, st.integers(0, 2**32))
def test_a_pinned_request_runs_on_its_subnet_or_not_at_all_beside_requests_that_may_run_on_any(
    profile: Profile, policy: Policy, late: str, seed: int
) -> None:
    chance, engine, busy = random.Random(seed), Engine(profile, policy, late, 2), set[int]()
    engine.restore(0)
    engine.restore(1)
    for id in range(60):
        engine.arrive(Request(id, id, id + chance.randint(1, 120), subnet=chance.choice([None, *profile.subnets])))
        if chance.random() < 0.2:
            engine.cancel(chance.randrange(id + 1))
        if busy and chance.random() < 0.7:
            engine.complete(busy.pop())
        elif busy and chance.random() < 0.2:
            engine.lose(worker := busy.pop())
            engine.restore(worker)
        while isinstance(step := engine.decide(id), Dispatch | Drop):
            if isinstance(step, Dispatch):
                busy.add(step.worker)
                assert len({request.subnet for request in step.requests}) == 1
                assert step.requests[0].subnet in (None, step.subnet)
        assert step is None or isinstance(step, Wait)


def test_there_are_no_more_queues_than_classes_that_were_ever_waited_in_at_once() -> None:
    engine = Engine(SMALL, named("slackfit"), "drop", 1)
    engine.restore(0)
    for id in range(20):
        subnet = SMALL.subnets[id % 2]
        engine.arrive(Request(id, 0, 1000, subnet=subnet))
        step = engine.decide(0)
        assert isinstance(step, Dispatch)
        assert step.subnet == subnet
        engine.complete(0)
    assert len(engine._queues) == 1
    for id, (floor, pin) in enumerate([(0.0, None), (0.7, None), (0.0, SMALL.subnets[0])], start=20):
        engine.arrive(Request(id, 0, 1000, floor, subnet=pin))
        engine.arrive(Request(id + 100, 0, 1000, floor, subnet=pin))
    assert len(engine._queues) == 3


def test_a_pin_is_to_a_served_subnet_and_a_floor_beside_it_must_be_below_its_accuracy() -> None:
    engine = Engine(SMALL, named("infaas"), "drop", 1)
    fast, accurate = SMALL.subnets
    assert engine.serves(accurate)  # though this policy would never run it
    assert not engine.serves("s9")
    assert engine.reaches(0.8, accurate)
    assert not engine.reaches(0.8, fast)


def test_what_one_engine_is_asked_for_changes_no_other() -> None:
    one, other = (Engine(SMALL, named("slackfit"), "drop", 1) for _ in range(2))
    one.arrive(Request(0, 0, 100, subnet=SMALL.subnets[1]))
    other.restore(0)
    other.arrive(Request(0, 0, 15))
    step = other.decide(0)
    assert isinstance(step, Dispatch)
    assert step.subnet == SMALL.subnets[0]
