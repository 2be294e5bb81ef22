"""Queue discipline, decision loop and simulated world, each once, in plain Python that numba can compile.

The live router calls these functions as they stand, over lists (`live.py`); `compiled.py` gives the same ones to numba, over arrays,
for the simulator. Only the five functions on heaps at the top exist twice, here on `heapq` and there on arrays (`lanes.py`,
`idle.py`, `heaps.py`): their keys are unique, so any correct priority queue yields the same order. Nothing here reads a clock.

A request is its id; its deadline, its class and its rows are looked up by id. A class has an EDF heap and a decision table of its own
(an accuracy floor makes a class). A choice is an index: subnet s in batch size number b is s * B + b, B = the number of batch sizes.
"""

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol

NEVER = 2**62
"""A time that does not come."""
DROP = -1
NOBODY = -1
DROP_LATE, SHED_LATE, SERVE_LATE = 0, 1, 2
LATE_RULES = {"drop": DROP_LATE, "shed": SHED_LATE, "serve": SERVE_LATE}
MET, LATE, DROPPED, REJECTED, FAILED = 0, 1, 2, 3, 4

Heaps = list[list[tuple[int, int]]]
"""Priority queues of (key, id): heaps of lists here, arrays when compiled."""


class Ints(Protocol):
    """Whole numbers by position or by id: a list, a dict, or an array when compiled."""

    def __getitem__(self, at: int, /) -> int:
        """One of them."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


class Slots(Ints, Protocol):
    """Whole numbers that change."""

    def __setitem__(self, at: int, value: int, /) -> None:
        """Change one of them."""
        ...


class Tables(NamedTuple):
    """Decision tables laid end to end, one per class, and the plan they were made for.

    Class c has the rows `start[c]` to `start[c + 1]`; row r holds from slack `slack_ns[r]` on; its cells, one per entry of `depth`,
    are choices or DROP. `fallback[c]` is the choice of the class's fastest subnet in the smallest batch size. By choice: `plan_ns`,
    `holds` the rows of its batch, and `smallest` the choice of the same subnet in the smallest batch size. `size_of[n]` numbers the
    smallest batch size that holds n rows, for n up to the largest.
    """

    start: Ints
    slack_ns: Ints
    depth: Ints
    cell: Ints
    fallback: Ints
    plan_ns: Ints
    holds: Ints
    smallest: Ints
    size_of: Ints


class Requests(NamedTuple):
    """What the queue needs to know of each request, by id; `kind` is its class, or NOBODY where no class can ever serve it."""

    deadline_ns: Slots
    kind: Slots
    rows: Slots


class Random(Protocol):
    """A source of uniform numbers in [0, 1)."""

    def random(self) -> float:
        """The next one."""
        ...


def push(heaps: Heaps, at: int, key: int, id: int) -> None:
    """Put an item into a heap."""
    heappush(heaps[at], (key, id))


def pop(heaps: Heaps, at: int) -> int:
    """Take the item with the smallest (key, id) out of a heap; its id."""
    return heappop(heaps[at])[1]


def head(heaps: Heaps, at: int) -> tuple[int, int]:
    """The smallest (key, id) of a heap that is not empty."""
    return heaps[at][0]


def count(heaps: Heaps, at: int) -> int:
    """How many items a heap holds."""
    return len(heaps[at])


def discard(heaps: Heaps, at: int, key: int, id: int) -> bool:
    """Take an item out of a heap wherever it stands; whether it was there."""
    if (key, id) not in heaps[at]:
        return False
    heaps[at].remove((key, id))
    heapify(heaps[at])
    return True


def enqueue(queues: Heaps, depth: Slots, requests: Requests, id: int) -> None:
    """A request arrives, or comes back from a worker that was lost."""
    kind = requests.kind[id]
    push(queues, kind, requests.deadline_ns[id], id)
    depth[kind] += requests.rows[id]


def dequeue(queues: Heaps, depth: Slots, requests: Requests, kind: int) -> int:
    """The most urgent request of a class leaves its queue."""
    id = pop(queues, kind)
    depth[kind] -= requests.rows[id]
    return id


def most_urgent(queues: Heaps, classes: int) -> int:
    """The class whose head has the smallest (deadline, id), or NOBODY where all queues are empty."""
    best, best_deadline_ns, best_id = NOBODY, NEVER, 0
    for kind in range(classes):
        if count(queues, kind) > 0:
            deadline_ns, id = head(queues, kind)
            if best == NOBODY or deadline_ns < best_deadline_ns or (deadline_ns == best_deadline_ns and id < best_id):
                best, best_deadline_ns, best_id = kind, deadline_ns, id
    return best


def decide(tables: Tables, late: int, kind: int, slack_ns: int, depth: int, rows: int, live: int) -> int:
    """The choice for the head of a class: what its table says, else what the rule for late heads says; DROP removes the head.

    `depth` counts the waiting rows of the class and `rows` those of its head, which is atomic: where the table's choice holds fewer,
    the fastest subnet runs it if that fits, else there is no choice.
    """
    row = bisect_right(tables.slack_ns, slack_ns, tables.start[kind], tables.start[kind + 1]) - 1
    choice = tables.cell[row * len(tables.depth) + bisect_right(tables.depth, depth) - 1]
    fastest = tables.fallback[kind]
    if choice != DROP and tables.holds[choice] < rows:
        alone = fastest + tables.size_of[rows]
        choice = alone if tables.plan_ns[alone] <= slack_ns else DROP
    if late == SERVE_LATE and choice == DROP:
        return fastest + tables.size_of[len(tables.size_of) - 1]
    if late == SHED_LATE and sheds(tables, fastest, slack_ns, depth, live):
        return DROP
    return choice


def sheds(tables: Tables, fastest: int, slack_ns: int, depth: int, live: int) -> bool:
    """The head would be late in the fastest batch, and the queue is longer than the live workers can drain in one and a half slacks."""
    largest = len(tables.size_of) - 1
    if slack_ns >= tables.plan_ns[fastest + tables.size_of[min(depth, largest)]]:
        return False
    return 2 * depth * tables.plan_ns[fastest + tables.size_of[largest]] > 3 * slack_ns * live * largest


def take(queues: Heaps, depth: Slots, requests: Requests, kind: int, size: int, batch: Slots, at: int) -> tuple[int, int]:
    """Move the most urgent requests of a class, as many as fit in `size` rows, into `batch` from `at` on; (requests, rows)."""
    taken, filled = 0, 0
    while count(queues, kind) > 0:
        rows = requests.rows[head(queues, kind)[1]]
        if taken > 0 and filled + rows > size:
            break
        batch[at + taken] = dequeue(queues, depth, requests, kind)
        taken, filled = taken + 1, filled + rows
        if filled >= size:
            break
    return taken, filled


def runs_as(tables: Tables, choice: int, rows: int) -> int:
    """The cell that a batch of `rows` rows runs as: the choice's subnet in the smallest batch size that holds them."""
    return tables.smallest[choice] + tables.size_of[rows]


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

    `queues` one heap per class, `depth` its waiting rows; `idle` a heap of workers and `busy` a heap of (finish, worker), both of one;
    `batch` the running requests of worker w from w * largest batch size on, `running` how many.
    """

    queues: Heaps
    depth: Slots
    idle: Heaps
    busy: Heaps
    batch: Slots
    running: Slots
    finish_ns: Slots


def simulate(world: World, requests: Requests, tables: Tables, late: int, live: int, random: Random, state: State, out: Outcome) -> int:
    """Serve a trace in virtual time; the number of batches. At one instant: completions, losses, returns, then arrivals."""
    queues, depth, idle, busy = state.queues, state.depth, state.idle, state.busy
    classes, largest, measured = len(depth), len(tables.size_of) - 1, len(world.quantiles_ns) > 0
    i, f, waiting, batches = 0, 0, 0, 0
    while True:
        done_ns = head(busy, 0)[0] if count(busy, 0) > 0 else NEVER
        now_ns = min(done_ns, world.fault_ns[f], world.arrival_ns[i] if i < len(world.arrival_ns) else NEVER)
        if now_ns == NEVER:
            return batches
        if now_ns == done_ns:
            worker = pop(busy, 0)
            push(idle, 0, worker, worker)
        elif now_ns == world.fault_ns[f]:
            waiting += change(requests, state, largest, world.fault[f], out)
            live += 1 if world.fault[f] < 0 else -1
            f += 1
        else:
            if requests.kind[i] == NOBODY:
                out.status[i], out.ended_ns[i] = REJECTED, now_ns
            else:
                enqueue(queues, depth, requests, i)
                waiting += 1
            i += 1
        while waiting > 0 and count(idle, 0) > 0:
            kind = most_urgent(queues, classes)
            deadline_ns, id = head(queues, kind)
            choice = decide(tables, late, kind, deadline_ns - now_ns, depth[kind], requests.rows[id], live)
            if choice == DROP:
                dequeue(queues, depth, requests, kind)
                waiting -= 1
                out.status[id], out.ended_ns[id] = DROPPED, now_ns
                continue
            worker = pop(idle, 0)
            taken, rows = take(queues, depth, requests, kind, tables.holds[choice], state.batch, worker * largest)
            waiting -= taken
            cell = runs_as(tables, choice, rows)
            service_ns = draw_ns(world.quantiles_ns, world.levels, cell, random.random()) if measured else tables.plan_ns[cell]
            finish_ns = now_ns + service_ns
            push(busy, 0, finish_ns, worker)
            state.running[worker], state.finish_ns[worker] = taken, finish_ns
            note(requests, state.batch, worker * largest, taken, now_ns, finish_ns, cell, worker, out)
            batches += 1


def note(requests: Requests, batch: Slots, at: int, taken: int, now_ns: int, finish_ns: int, cell: int, worker: int, out: Outcome) -> None:
    """A batch has started, and nothing but the loss of its worker can change when it will end."""
    for j in range(at, at + taken):
        id = batch[j]
        out.start_ns[id], out.finish_ns[id], out.ended_ns[id] = now_ns, finish_ns, finish_ns
        out.cell[id], out.batch_size[id], out.worker[id] = cell, taken, worker
        out.status[id] = MET if finish_ns <= requests.deadline_ns[id] else LATE


def change(requests: Requests, state: State, largest: int, fault: int, out: Outcome) -> int:
    """A worker returns (~worker), or is lost and its batch is queued again; how many requests wait again."""
    if fault < 0:
        push(state.idle, 0, ~fault, ~fault)
        return 0
    if discard(state.idle, 0, fault, fault) or not discard(state.busy, 0, state.finish_ns[fault], fault):
        return 0
    for j in range(fault * largest, fault * largest + state.running[fault]):
        id = state.batch[j]
        enqueue(state.queues, state.depth, requests, id)
        out.status[id], out.finish_ns[id], out.ended_ns[id] = FAILED, -1, -1
    return state.running[fault]
