"""Queue discipline and decision, each once, in plain Python that numba can compile.

The live router calls these functions as they stand, over lists (`live.py`); `compiled.py` gives the same ones to numba, over arrays,
for the simulator (`world.py`). Only the five functions on heaps at the top exist twice, here on `heapq` and there on arrays
(`lanes.py`, `idle.py`, `heaps.py`): their keys are unique, so any correct priority queue yields the same order. Nothing here reads a
clock.

A request is its id; its deadline, its class and its rows are looked up by id. A class has an EDF heap of its own, and in each mode of
the policy a decision table (an accuracy floor makes a class; a policy without a memory has one mode). A choice is an index: subnet s
in batch size number b is s * B + b, B = the number of batch sizes.
"""

from bisect import bisect_right
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol

NEVER = 2**62
"""A time that does not come."""
DROP = -1
WAIT = -2
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
    """Decision tables laid end to end, one per mode and class, and the plan they were made for.

    Table t, mode * classes + class, has the rows `first[t]` to below `last[t]`; row r holds from slack `slack_ns[r]` on; its cells,
    one per entry of `depth`, are choices, DROP or WAIT. `fallback[t]` is the choice of its fastest subnet in the smallest batch size.
    By choice: `plan_ns`, `holds` the rows of its batch, and `smallest` the choice of the same subnet in the smallest batch size.
    `size_of[n]` numbers the smallest batch size that holds n rows, for n up to the largest.
    """

    first: Ints
    last: Ints
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


def decide(tables: Tables, late: int, table: int, slack_ns: int, depth: int, rows: int, live: int, routers: int) -> int:
    """The choice for a head: what its table says, else what the rule for late heads says; DROP removes the head, WAIT runs nothing yet.

    `depth` counts the waiting rows of the class and `rows` those of its head, which is atomic: where the table's choice holds fewer,
    the fastest subnet runs it if that fits, else there is no choice.
    """
    row = bisect_right(tables.slack_ns, slack_ns, tables.first[table], tables.last[table]) - 1
    choice = tables.cell[row * len(tables.depth) + bisect_right(tables.depth, depth) - 1]
    fastest = tables.fallback[table]
    if choice >= 0 and tables.holds[choice] < rows:
        alone = fastest + tables.size_of[rows]
        choice = alone if tables.plan_ns[alone] <= slack_ns else DROP
    if late == SERVE_LATE and choice == DROP:
        return fastest + tables.size_of[len(tables.size_of) - 1]
    if late == SHED_LATE and sheds(tables, fastest, slack_ns, depth * routers, live):
        return DROP
    return choice


def sheds(tables: Tables, fastest: int, slack_ns: int, depth: int, live: int) -> bool:
    """The head would be late in the fastest batch, and the queue is longer than the live workers can drain in one and a half slacks."""
    largest = len(tables.size_of) - 1
    if slack_ns >= tables.plan_ns[fastest + tables.size_of[min(depth, largest)]]:
        return False
    return slack_ns <= too_short_ns(tables, fastest, depth, live)


def too_short_ns(tables: Tables, fastest: int, depth: int, live: int) -> int:
    """The most slack with 2 * depth * plan(f, B) > 3 * slack * live * B: divided, for these products need not fit int64."""
    largest = len(tables.size_of) - 1
    return (2 * depth * tables.plan_ns[fastest + tables.size_of[largest]] - 1) // (3 * live * largest)


def wake_ns(tables: Tables, late: int, table: int, slack_ns: int, deadline_ns: int, depth: int, live: int) -> int:
    """When a head that is told to WAIT must be decided anew at the latest: its slack then falls into the table's next lower row.

    Or so far that the head is shed. `depth` counts the waiting rows of all routers, and `live` their workers.
    """
    row = bisect_right(tables.slack_ns, slack_ns, tables.first[table], tables.last[table]) - 1
    other_ns = tables.slack_ns[row] - 1
    if late == SHED_LATE:
        other_ns = max(other_ns, shed_ns(tables, tables.fallback[table], depth, live))
    return min(deadline_ns - other_ns, NEVER)


def shed_ns(tables: Tables, fastest: int, depth: int, live: int) -> int:
    """The most slack with which a head is shed."""
    largest = len(tables.size_of) - 1
    return min(too_short_ns(tables, fastest, depth, live), tables.plan_ns[fastest + tables.size_of[min(depth, largest)]] - 1)


def take(queues: Heaps, depth: Slots, requests: Requests, kind: int, size: int, batch: Slots) -> tuple[int, int]:
    """Move the most urgent requests of a class, as many as fit in `size` rows, into `batch`; (requests, rows)."""
    taken, filled = 0, 0
    while count(queues, kind) > 0:
        rows = requests.rows[head(queues, kind)[1]]
        if taken > 0 and filled + rows > size:
            break
        batch[taken] = dequeue(queues, depth, requests, kind)
        taken, filled = taken + 1, filled + rows
        if filled >= size:
            break
    return taken, filled


def runs_as(tables: Tables, choice: int, rows: int) -> int:
    """The cell that a batch of `rows` rows runs as: the choice's subnet in the smallest batch size that holds them."""
    return tables.smallest[choice] + tables.size_of[rows]
