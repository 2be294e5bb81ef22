"""Virtual time, in plain Python that numba can compile: arrivals, completions, worker losses and timers, and what they lead to.

The decisions are those of `steps.py`, which the live router calls too.

The hook for policies with a memory
-----------------------------------
A policy that needs more than (slack, depth) has several decision tables, its *modes*, and each worker looks up the one of its own
mode. `Control` says what changes a worker's mode: the end of a batch (`met` and `late`, by mode), or a control loop, which stops
virtual time at instants of its own (`until_ns`), looks at what has arrived, and writes `mode`. Besides, a policy may plan ahead of the
time when a worker is free, refuse requests at their arrival, and give the pair of request and batch that must start first precedence
over the head. Waiting needs no hook: a table says WAIT. A policy without a memory has one mode and none of this.
"""

from collections.abc import Sequence
from typing import NamedTuple

from superserve_cli.engine import steps
from superserve_cli.engine.steps import (
    DROP,
    DROPPED,
    FAILED,
    LATE,
    MET,
    NEVER,
    NOBODY,
    REJECTED,
    WAIT,
    Heaps,
    Ints,
    Random,
    Requests,
    Slots,
    Tables,
)

MOST_URGENT, RANDOM_ROUTER, TWO_ROUTERS = 0, 1, 2
PICKS = {"least-slack": MOST_URGENT, "random": RANDOM_ROUTER, "two-choices": TWO_ROUTERS}
ARRIVED, FAULT, WAITING, LIVE, NOW = 0, 1, 2, 3, 4
"""Places in `State.at`."""


class World(NamedTuple):
    """What happens by itself: arrivals by id, and worker losses (worker) and returns (~worker) by time.

    The times of faults end with NEVER; at one instant losses stand before returns. `quantiles_ns` is by cell and level, and
    empty where every batch takes its plan_ns.
    """

    arrival_ns: Ints
    fault_ns: Ints
    fault: Ints
    quantiles_ns: Ints
    levels: Sequence[float]


class Control(NamedTuple):
    """What a policy's memory may change, see above; with one mode and zeros it changes nothing.

    `mode` by worker; `met` and `late` by mode: a worker's next mode after a batch that was in time, or of which a request was late.
    A worker may take its next batch `ahead_ns` before it is free; of those that may, the one that could start first does. A request is
    refused at its arrival unless the first worker to be free could run it in `admit_ns` (0: no refusals), one after another.
    `latest_start` is 1 where the pair of request and batch that must start first goes first. `routers` share the workers, each with
    queues of its own, and `pick` is one of PICKS.
    """

    mode: Slots
    met: Ints
    late: Ints
    ahead_ns: int
    admit_ns: int
    latest_start: int
    routers: int
    pick: int


class Outcome(NamedTuple):
    """What became of each request, by id; filled in place."""

    start_ns: Slots
    finish_ns: Slots
    ended_ns: Slots
    cell: Slots
    batch_size: Slots
    worker: Slots
    status: Slots


class State(NamedTuple):
    """All that changes while a world is simulated.

    `queues` one heap per class and router, `depth` its waiting rows; `idle` a heap of workers and `busy` a heap of (time, worker),
    both of one. By worker: `ready_ns` when it takes its next batch, `free_ns` when that could start, `tardy` whether its batch holds a
    late request, `owed_ns` how long it must load before its next batch (negative while it does), `clock_ns` when it would be free of
    all that was admitted. `batch` is room for the requests of a batch. `at` holds where virtual time stands, at the places named above.
    """

    queues: Heaps
    depth: Slots
    idle: Heaps
    busy: Heaps
    ready_ns: Slots
    free_ns: Slots
    tardy: Slots
    owed_ns: Slots
    clock_ns: Slots
    batch: Slots
    at: Slots


def simulate(
    world: World, requests: Requests, tables: Tables, control: Control, late: int, until_ns: int, random: Random, state: State, out: Outcome
) -> bool:
    """Serve a trace in virtual time, from where `state` stands to the timers at `until_ns`, or to the end; whether more is to come.

    At one instant: completions, losses, returns, timers, then arrivals, each followed by its decisions.
    """
    queues, depth, busy = state.queues, state.depth, state.busy
    i, f, waiting, live, now_ns = state.at[ARRIVED], state.at[FAULT], state.at[WAITING], state.at[LIVE], state.at[NOW]
    load_the_idle(state, now_ns)
    while True:
        wake_ns = NEVER
        while waiting > 0 and steps.count(state.idle, 0) > 0:
            kind = picked(queues, len(depth), control.pick, random)
            worker = first_free(state, now_ns) if control.ahead_ns > 0 else steps.head(state.idle, 0)[1]
            start_ns = max(now_ns, state.free_ns[worker])
            deadline_ns, id = steps.head(queues, kind)
            table, slack_ns = control.mode[worker] * len(depth) + kind, deadline_ns - start_ns
            choice = steps.decide(tables, late, table, slack_ns, depth[kind], requests.rows[id], live, control.routers)
            if choice == WAIT:
                wake_ns = steps.wake_ns(tables, late, table, slack_ns, deadline_ns, depth[kind] * control.routers, live)
                break
            if choice == DROP:
                drop(queues, depth, requests, kind, now_ns, out)
                waiting -= 1
                continue
            if control.latest_start and late != steps.SERVE_LATE:
                passed, choice = first_to_start(queues, depth, requests, tables, table, kind, start_ns, choice, state.batch)
                waiting -= passed
                for _ in range(passed):
                    drop(queues, depth, requests, kind, now_ns, out)
            waiting -= run(world, requests, tables, control, state, random, kind, choice, worker, start_ns, now_ns, out)
        done_ns = steps.head(busy, 0)[0] if steps.count(busy, 0) > 0 else NEVER
        arrival_ns = world.arrival_ns[i] if i < len(world.arrival_ns) else NEVER
        happens_ns = min(done_ns, world.fault_ns[f])
        more = min(happens_ns, arrival_ns, wake_ns) < NEVER
        if not more or until_ns <= min(wake_ns, arrival_ns, happens_ns - 1):
            state.at[ARRIVED], state.at[FAULT], state.at[WAITING], state.at[LIVE], state.at[NOW] = i, f, waiting, live, until_ns
            return more
        now_ns = min(happens_ns, arrival_ns, wake_ns)
        if now_ns == done_ns:
            complete(state, control, now_ns)
        elif now_ns == happens_ns:
            waiting += change(requests, state, world.fault[f], i, now_ns, out)
            live += 1 if world.fault[f] < 0 else -1
            f += 1
        elif now_ns < wake_ns:
            waiting += arrive(requests, control, state, i, now_ns, out)
            i += 1


def arrive(requests: Requests, control: Control, state: State, id: int, now_ns: int, out: Outcome) -> int:
    """A request arrives, and is queued or rejected; how many more wait."""
    if requests.kind[id] == NOBODY or (control.admit_ns > 0 and not admits(control, state, requests.deadline_ns[id], now_ns)):
        out.status[id], out.ended_ns[id] = REJECTED, now_ns
        return 0
    steps.enqueue(state.queues, state.depth, requests, id)
    return 1


def drop(queues: Heaps, depth: Slots, requests: Requests, kind: int, now_ns: int, out: Outcome) -> None:
    """The head of a class is not worth running any more."""
    id = steps.dequeue(queues, depth, requests, kind)
    out.status[id], out.ended_ns[id] = DROPPED, now_ns


def run(
    world: World,
    requests: Requests,
    tables: Tables,
    control: Control,
    state: State,
    random: Random,
    kind: int,
    choice: int,
    worker: int,
    start_ns: int,
    now_ns: int,
    out: Outcome,
) -> int:
    """An idle worker takes a batch of a class; of how many requests."""
    steps.discard(state.idle, 0, worker, worker)
    taken, rows = steps.take(state.queues, state.depth, requests, kind, tables.holds[choice], state.batch)
    cell = steps.runs_as(tables, choice, rows)
    measured = len(world.quantiles_ns) > 0
    service_ns = draw_ns(world.quantiles_ns, world.levels, cell, random.random()) if measured else tables.plan_ns[cell]
    state.free_ns[worker] = start_ns + service_ns
    state.ready_ns[worker] = max(now_ns, start_ns + service_ns - control.ahead_ns)
    steps.push(state.busy, 0, state.ready_ns[worker], worker)
    state.tardy[worker] = note(requests, state.batch, taken, start_ns, start_ns + service_ns, cell, worker, out)
    return taken


def first_free(state: State, now_ns: int) -> int:
    """Of the workers that may take a batch ahead of time, the one that could start it first; of equals the lowest."""
    first, first_ns = NOBODY, NEVER
    for worker in range(len(state.free_ns)):
        start_ns = max(now_ns, state.free_ns[worker])
        if start_ns < first_ns and steps.discard(state.idle, 0, worker, worker):
            steps.push(state.idle, 0, worker, worker)
            first, first_ns = worker, start_ns
    return first


def picked(queues: Heaps, kinds: int, pick: int, random: Random) -> int:
    """The queue that an idle worker serves: of all the most urgent, or a random one that is not empty, or the more urgent of two."""
    if pick == MOST_URGENT:
        return steps.most_urgent(queues, kinds)
    some = 0
    for kind in range(kinds):
        some += steps.count(queues, kind) > 0
    one = _nth(queues, int(random.random() * some))
    if pick == RANDOM_ROUTER or some == 1:
        return one
    other = _nth(queues, int(random.random() * some))
    return other if steps.head(queues, other) < steps.head(queues, one) else one


def _nth(queues: Heaps, n: int) -> int:
    """The n-th queue that is not empty."""
    kind = 0
    while True:
        if steps.count(queues, kind) > 0:
            if n == 0:
                return kind
            n -= 1
        kind += 1


def first_to_start(
    queues: Heaps, depth: Slots, requests: Requests, tables: Tables, table: int, kind: int, start_ns: int, choice: int, aside: Slots
) -> tuple[int, int]:
    """Each waiting request asks the table as if it were the head; whose choice must start first, goes first.

    Returns how many requests stand before it, which are worth no more then, and its choice. A later request must choose a larger
    batch to start sooner, so nobody looks behind one that chooses the largest. `aside` is room for those that are passed by.
    """
    looked, best, best_choice = 0, 0, choice
    spare_ns = steps.head(queues, kind)[0] - start_ns - tables.plan_ns[choice]
    while tables.holds[choice] < len(tables.size_of) - 1 and looked < len(aside) and steps.count(queues, kind) > 1:
        aside[looked] = steps.dequeue(queues, depth, requests, kind)
        looked += 1
        deadline_ns, id = steps.head(queues, kind)
        other = steps.decide(tables, steps.DROP_LATE, table, deadline_ns - start_ns, depth[kind], requests.rows[id], 1, 1)
        if other < 0:
            continue
        choice = other
        other_ns = deadline_ns - start_ns - tables.plan_ns[other]
        if other_ns < spare_ns:
            spare_ns, best, best_choice = other_ns, looked, other
    for j in range(looked):
        steps.enqueue(queues, depth, requests, aside[j])
    return best, best_choice


def admits(control: Control, state: State, deadline_ns: int, now_ns: int) -> bool:
    """Whether the first worker to be free of all that was admitted could run one more in time; if so, it is counted there."""
    first = 0
    for worker in range(1, len(state.clock_ns)):
        if state.clock_ns[worker] < state.clock_ns[first]:
            first = worker
    finish_ns = max(state.clock_ns[first], now_ns) + control.admit_ns
    if finish_ns > deadline_ns:
        return False
    state.clock_ns[first] = finish_ns
    return True


def complete(state: State, control: Control, now_ns: int) -> None:
    """A worker takes work again: in its next mode, and when it has loaded what it owes."""
    worker = steps.pop(state.busy, 0)
    if state.owed_ns[worker] > 0:
        load(state, worker, now_ns)
        return
    if state.owed_ns[worker] == 0:
        mode = control.mode[worker]
        control.mode[worker] = control.late[mode] if state.tardy[worker] else control.met[mode]
    state.owed_ns[worker] = 0
    steps.push(state.idle, 0, worker, worker)


def load_the_idle(state: State, now_ns: int) -> None:
    """Idle workers that a control loop has given another mode begin to load."""
    for worker in range(len(state.owed_ns)):
        if state.owed_ns[worker] > 0 and steps.discard(state.idle, 0, worker, worker):
            load(state, worker, now_ns)


def load(state: State, worker: int, now_ns: int) -> None:
    """A worker that is free and not idle loads what it owes."""
    state.ready_ns[worker] = state.free_ns[worker] = max(now_ns, state.free_ns[worker]) + state.owed_ns[worker]
    state.owed_ns[worker] = -state.owed_ns[worker]
    steps.push(state.busy, 0, state.ready_ns[worker], worker)


def note(requests: Requests, batch: Slots, taken: int, start_ns: int, finish_ns: int, cell: int, worker: int, out: Outcome) -> bool:
    """A batch has its time, and nothing but the loss of its worker can change that; whether a request of it is late."""
    tardy = False
    for j in range(taken):
        id = batch[j]
        out.start_ns[id], out.finish_ns[id], out.ended_ns[id] = start_ns, finish_ns, finish_ns
        out.cell[id], out.batch_size[id], out.worker[id] = cell, taken, worker
        met = finish_ns <= requests.deadline_ns[id]
        out.status[id] = MET if met else LATE
        tardy = tardy or not met
    return tardy


def change(requests: Requests, state: State, fault: int, arrived: int, now_ns: int, out: Outcome) -> int:
    """A worker returns (~worker), or is lost and what it had not finished is queued again; how many requests wait again."""
    if fault < 0:
        state.free_ns[~fault] = state.clock_ns[~fault] = now_ns
        if state.owed_ns[~fault] > 0:
            load(state, ~fault, now_ns)
        else:
            steps.push(state.idle, 0, ~fault, ~fault)
        return 0
    state.clock_ns[fault] = NEVER
    state.owed_ns[fault] = abs(state.owed_ns[fault])
    if not steps.discard(state.idle, 0, fault, fault):
        steps.discard(state.busy, 0, state.ready_ns[fault], fault)
    again = 0
    for id in range(arrived):
        if out.worker[id] == fault and out.finish_ns[id] > now_ns:
            steps.enqueue(state.queues, state.depth, requests, id)
            out.status[id], out.finish_ns[id], out.ended_ns[id] = FAILED, -1, -1
            again += 1
    return again


def draw_ns(quantiles_ns: Ints, levels: Sequence[float], cell: int, uniform: float) -> int:
    """A service time by linear interpolation between the quantiles of a cell, to the nearest ns; flat beyond the outermost."""
    base, n = cell * len(levels), len(levels)
    if uniform <= levels[0]:
        return quantiles_ns[base]
    for i in range(1, n):
        if uniform <= levels[i]:
            below, above = quantiles_ns[base + i - 1], quantiles_ns[base + i]
            return int(below + (above - below) * (uniform - levels[i - 1]) / (levels[i] - levels[i - 1]) + 0.5)
    return quantiles_ns[base + n - 1]
