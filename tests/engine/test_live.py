from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.nouns import WAIT, Choice, Choose, Request
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.engine import Dispatch, Drop, Engine, Wait, steps
from superserve_cli.engine.scaled import AS_PLANNED
from superserve_cli.engine.simulator import simulate
from superserve_cli.policies import Policy, named
from superserve_cli.profiles import Profile
from superserve_cli.traces.trace import Trace
from tests.engine.test_simulator import REQUESTS, SMALL, profiles

Ended = dict[int, tuple[str, int, str | None, int]]


def patient(profile: Profile, workers: int) -> Choose:
    """The fastest subnet, in batches that are full, or whose head can wait no longer."""
    subnet = profile.subnets[0]

    def choose(slack_ns: int, depth: int) -> Choice | None:
        fits = [size for size in profile.batch_sizes if profile.plan_ns(subnet, size) <= slack_ns]
        if depth < profile.largest and slack_ns > profile.plan_ns(subnet, profile.largest):
            return WAIT
        return Choice(subnet, max(fits)) if fits else None

    return choose


PATIENT = Policy("patient", patient)


def live(profile: Profile, policy: Policy, requests: list[Request], workers: int, late: str, early: bool = False) -> Ended:
    """A live engine driven over the same virtual time as the simulator; request -> (status, finish, subnet, worker).

    `early`: who is sure to be dropped is dropped at that instant, also while all workers are busy.
    """
    engine = Engine(profile, policy, late, workers)
    for worker in range(workers):
        engine.restore(worker)
    ended: Ended = {}
    busy: dict[int, int] = {}
    coming = list(requests)
    wakes: list[int] = []
    while coming or busy or wakes:
        now = min([*busy.values(), *wakes, *(r.arrival_ns for r in coming[:1])])
        while early and engine.next_expiry_ns() <= now:
            told = engine.expire(engine.next_expiry_ns())
            assert told is not None
            ended[told.request.id] = ("dropped", -1, None, -1)
        done = sorted(worker for worker, finish in busy.items() if finish == now)
        if done:
            del busy[done[0]]
            engine.complete(done[0])
        elif now not in wakes:
            engine.arrive(coming.pop(0))
        wakes = []
        while decision := engine.decide(now):
            if isinstance(decision, Wait):
                assert decision.until_ns > now
                wakes = [decision.until_ns]
                break
            if isinstance(decision, Drop):
                ended[decision.request.id] = ("dropped", -1, None, -1)
                continue
            busy[decision.worker] = finish = now + decision.plan_ns
            for request in decision.requests:
                status = "met" if finish <= request.deadline_ns else "late"
                ended[request.id] = (status, finish, decision.subnet, decision.worker)
    return ended


@settings(max_examples=150, deadline=None)
@given(
    profiles(),
    st.sampled_from([named("slackfit"), PATIENT]),
    REQUESTS,
    st.integers(1, 3),
    st.sampled_from(["drop", "shed", "serve"]),
    st.booleans(),
    st.booleans(),
)
def test_the_live_engine_decides_as_the_simulator_does_whether_or_not_it_drops_early_whom_nothing_can_help(
    profile: Profile, policy: Policy, arrivals: list[tuple[int, int]], workers: int, late: str, floors: bool, early: bool
) -> None:
    arrivals = sorted(arrivals, key=lambda a: a[0])
    floor = np.array([0.55 if floors and i % 3 == 0 else 0.0 for i in range(len(arrivals))])
    reachable = np.array([Engine(profile, policy, late, 1).reaches(f) for f in floor])
    requests = [Request(i, a, a + slo, float(floor[i])) for i, (a, slo) in enumerate(arrivals) if reachable[i]]
    trace = Trace(np.array([a for a, _ in arrivals], np.int64), slo_ns=np.array([s for _, s in arrivals], np.int64), min_accuracy=floor)
    simulated = simulate(trace, profile, policy, workers=workers, slo_ns=1, late=late)
    happened = live(profile, policy, requests, workers, late, early)
    for i in np.flatnonzero(reachable).tolist():
        subnet = None if simulated.subnet[i] < 0 else simulated.subnets[simulated.subnet[i]]
        assert happened[i] == (STATUSES[simulated.status[i]], simulated.finish_ns[i], subnet, simulated.worker[i])


@settings(max_examples=100, deadline=None)
@given(profiles(), st.sampled_from([named("slackfit"), named("max-accuracy"), PATIENT]), st.integers(1, 4), st.integers(0, 400))
def test_a_request_expires_from_when_no_queue_behind_it_could_make_it_run(profile: Profile, policy: Policy, rows: int, slack: int) -> None:
    rows = min(rows, profile.largest)
    made = Engine(profile, policy, "drop", 1)
    made.arrive(Request(0, 0, 1000, size=rows))
    now_ns = 1000 - slack
    tables, depths = made._classes.tables, range(rows, 4 * profile.largest)
    still = range(slack + 1)  # with less slack a policy may choose a batch that holds the rows, where it chose one that did not before
    told = {steps.decide(tables, steps.DROP_LATE, 0, left, depth, rows, 1, 1) for left in still for depth in depths}
    assert (made.expires_ns(0) <= now_ns) == (told == {steps.DROP})


def engine(workers: int = 1) -> Engine:
    made = Engine(SMALL, named("slackfit"), "drop", workers)
    for worker in range(workers):
        made.restore(worker)
    return made


def dispatched(decision: Dispatch | Drop | Wait | None) -> Dispatch:
    assert isinstance(decision, Dispatch)
    return decision


def test_nobody_is_idle_before_restore() -> None:
    waiting = Engine(SMALL, named("slackfit"), "drop", 1)
    waiting.arrive(Request(0, 0, 100))
    assert waiting.decide(0) is None
    waiting.restore(0)
    assert dispatched(waiting.decide(0)).requests == [Request(0, 0, 100)]


def test_a_cancelled_request_frees_its_place() -> None:
    busy = engine()
    for id in range(3):
        busy.arrive(Request(id, 0, 1000 + id))
    assert busy.cancel(1)
    assert not busy.cancel(1)
    assert busy.depth == 2
    assert [r.id for r in dispatched(busy.decide(0)).requests] == [0, 2]
    assert not busy.cancel(0)


def test_a_lost_worker_gives_its_batch_back() -> None:
    made = engine(workers=2)
    made.arrive(Request(0, 0, 1000))
    assert dispatched(made.decide(0)).worker == 0
    assert made.lose(0) == [Request(0, 0, 1000)]
    assert made.live == 1
    assert dispatched(made.decide(5)).worker == 1
    assert made.lose(1)
    assert made.decide(6) is None
    made.restore(0)
    assert dispatched(made.decide(7)).requests == [Request(0, 0, 1000)]


def test_a_floor_out_of_reach_is_told_before_it_is_queued() -> None:
    assert engine().reaches(0.8)
    assert not engine().reaches(0.81)


def test_a_head_of_several_rows_runs_alone_on_the_fastest_subnet_where_the_choice_holds_fewer() -> None:
    made = engine()
    made.arrive(Request(0, 0, 12, size=2))
    decision = dispatched(made.decide(0))
    assert (decision.subnet, decision.batch_size, decision.plan_ns) == ("s0", 2, 12)
    assert made.largest == 4


def test_a_worker_that_is_free_before_its_answer_gets_the_next_batch_and_loses_both() -> None:
    made = engine()
    for id in range(3):
        made.arrive(Request(id, 0, 1000 + id, size=4))
    first = dispatched(made.decide(0))
    assert made.decide(0) is None
    made.free(0)
    second = dispatched(made.decide(0))
    made.complete(0)
    assert made.decide(0) is None  # it has the second
    assert made.lose(0) == second.requests
    made.restore(0)
    assert dispatched(made.decide(0)).requests == second.requests
    assert [r.id for r in first.requests] == [0]


def test_a_worker_that_was_free_and_got_nothing_is_idle_after_its_answer_too() -> None:
    made = engine()
    made.arrive(Request(0, 0, 1000))
    dispatched(made.decide(0))
    made.free(0)
    made.complete(0)
    made.arrive(Request(1, 0, 1000))
    made.arrive(Request(2, 0, 1000, size=4))
    assert dispatched(made.decide(0)).worker == 0
    assert made.decide(0) is None


def leisurely(profile: Profile, workers: int) -> Choose:
    """The fastest subnet, in batches that are full, or whose head has less than two latencies of a full one left."""
    subnet = profile.subnets[0]
    needed_ns = profile.plan_ns(subnet, profile.largest)

    def choose(slack_ns: int, depth: int) -> Choice | None:
        if depth < profile.largest and slack_ns >= 2 * needed_ns:
            return WAIT
        return Choice(subnet, profile.largest) if slack_ns >= needed_ns else None

    return choose


def slower(profile: Profile, factor: int) -> Profile:
    return replace(profile, plan=tuple(tuple(factor * plan_ns for plan_ns in row) for row in profile.plan))


@settings(max_examples=150, deadline=None)
@given(
    profiles(),
    st.sampled_from([*map(named, ("slackfit", "slackfit:3", "max-batch", "max-accuracy", "infaas")), Policy("leisurely", leisurely)]),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 400), st.integers(1, 4)), max_size=30),
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from(["drop", "shed", "serve"]),
    st.booleans(),
)
def test_a_scale_decides_as_a_profile_of_so_many_times_the_latencies(
    profile: Profile, policy: Policy, arrivals: list[tuple[int, int, int]], workers: int, factor: int, late: str, pins: bool
) -> None:
    slowed, plain = Engine(profile, policy, late, workers), Engine(slower(profile, factor), policy, late, workers)
    for worker in range(workers):
        slowed.scale(worker, factor * AS_PLANNED)
        slowed.restore(worker)
        plain.restore(worker)
    now_ns, running = 0, list[tuple[int, int]]()
    for id, (gap_ns, slo_ns, rows) in enumerate(arrivals):
        pin = profile.subnets[id % len(profile.subnets)] if pins and id % 2 else None
        now_ns += gap_ns
        for engine in (slowed, plain):
            for finish_ns, worker in running:
                if finish_ns <= now_ns:
                    engine.complete(worker)
            engine.arrive(Request(id, now_ns, now_ns + slo_ns, size=rows, subnet=pin))
        slowed.scale(id % workers, 7 * AS_PLANNED)
        slowed.scale(id % workers, factor * AS_PLANNED)
        running = [(finish_ns, worker) for finish_ns, worker in running if finish_ns > now_ns]
        while True:
            scaled, multiplied = slowed.decide(now_ns), plain.decide(now_ns)
            if isinstance(scaled, Dispatch) and isinstance(multiplied, Dispatch):
                running.append((now_ns + multiplied.plan_ns, multiplied.worker))
                scaled = scaled._replace(plan_ns=factor * scaled.plan_ns)
            assert scaled == multiplied
            if not isinstance(scaled, Dispatch | Drop):
                break


def test_the_least_slowed_of_the_idle_workers_comes_first() -> None:
    made = engine(workers=3)
    made.scale(0, 3000)
    made.scale(1, 1500)
    for id in range(3):
        made.arrive(Request(id, 0, 10_000 + id, size=4))
    assert [dispatched(made.decide(0)).worker for _ in range(3)] == [2, 1, 0]
    made.complete(0)
    made.scale(0, AS_PLANNED)
    made.complete(1)
    made.arrive(Request(3, 0, 10_000))
    assert dispatched(made.decide(0)).worker == 0


def test_a_head_too_late_for_a_slowed_worker_waits_for_one_that_is_not() -> None:
    made = engine(workers=2)
    made.scale(0, 3000)
    made.arrive(Request(0, 0, 1000, size=4))
    assert dispatched(made.decide(0)).worker == 1
    made.arrive(Request(1, 0, 25))
    assert made.decide(0) is None
    made.complete(1)
    assert dispatched(made.decide(5)).requests == [Request(1, 0, 25)]
    made.arrive(Request(2, 5, 30))
    assert made.decide(5) is None
    made.lose(1)
    assert [made.decide(5), made.decide(5)] == [Drop(Request(1, 0, 25)), Drop(Request(2, 5, 30))]


def test_a_request_is_hopeless_once_nothing_answers_it_in_time() -> None:
    for late, hopeless in (("drop", True), ("serve", False)):
        made = Engine(SMALL, named("slackfit"), late, 1)
        made.arrive(Request(0, 0, 100, size=4))
        assert not made.hopeless(0, 80)
        assert made.hopeless(0, 81) == hopeless


@settings(deadline=None, max_examples=150)
@given(
    before=profiles(),
    after=profiles(),
    arrivals=st.lists(st.tuples(st.integers(0, 90), st.sampled_from([0.0, 0.6, 0.8]), st.integers(1, 4)), min_size=1, max_size=20),
    busy=st.booleans(),
)
def test_an_engine_that_plans_anew_decides_like_one_that_never_planned_otherwise(
    before: Profile, after: Profile, arrivals: list[tuple[int, float, int]], busy: bool
) -> None:
    changed, fresh = Engine(before, named("slackfit"), "shed", 2), Engine(after, named("max-batch"), "drop", 2)
    requests = [Request(i, i, i + slo, floor, size) for i, (slo, floor, size) in enumerate(arrivals)]
    if busy:  # a worker that runs when it happens goes on running
        changed.restore(1)
        changed.arrive(Request(-1, 0, 1000))
        dispatched(changed.decide(0))
    waited = [request for request in requests if changed.able(request)]
    for request in waited:
        changed.arrive(request)
    gone = changed.replan(Engine(after, named("max-batch"), "drop", 2))
    assert gone == [request for request in waited if not fresh.able(request)]
    for request in waited:
        if fresh.able(request):
            fresh.arrive(request)
    if busy:
        changed.complete(1)
    for worker in (0, 1):
        changed.restore(worker)
        fresh.restore(worker)
    assert changed.depth == fresh.depth
    now_ns = len(requests)
    while True:
        decision = changed.decide(now_ns)
        assert decision == fresh.decide(now_ns)
        if decision is None or isinstance(decision, Wait):
            return
        if isinstance(decision, Dispatch):
            changed.complete(decision.worker)
            fresh.complete(decision.worker)
        now_ns += 1
