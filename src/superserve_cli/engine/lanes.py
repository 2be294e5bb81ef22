"""The simulator's EDF queues: a few sorted lanes and a heap for what fits in none.

Requests with equal SLOs arrive in the order of their deadlines, so a trace with k different SLOs needs k lanes at most (patience
sorting: each request joins the lane with the latest last deadline that is not later than its own). Appending to a lane and taking its
head cost the same at any depth, where a heap's cost grows with it. What fits in no lane (many different SLOs, batches of lost
workers) goes to the heap.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from superserve_cli.engine import heaps
from superserve_cli.engine.heaps import ArrayHeaps, array_heaps

LANES = 7
WIDTH = LANES + 1
"""Lanes of a queue, and the heap, which stands before them."""
EMPTY = np.iinfo(np.int64).max
UNUSED = np.iinfo(np.int64).min


class Lanes(NamedTuple):
    """Queues of requests: queue q has the lanes from q * WIDTH on, the first of them the heap, `used[q]` of them so far.

    `key` by id, shared with whoever made the queues; `next` by id, the request behind it in its lane; of each lane the first and the
    last request and their keys (EMPTY and UNUSED where there are none); of each queue its most urgent lane and its size.
    """

    key: NDArray[np.int64]
    next: NDArray[np.int32]
    first: NDArray[np.int32]
    first_key: NDArray[np.int64]
    last: NDArray[np.int32]
    last_key: NDArray[np.int64]
    urgent: NDArray[np.int64]
    used: NDArray[np.int64]
    size: NDArray[np.int64]
    heaps: ArrayHeaps


def lanes(key: NDArray[np.int64], capacities: list[int]) -> Lanes:
    """Empty queues of these capacities, for ids that index `key`."""
    queues = len(capacities)
    return Lanes(
        key=key,
        next=np.empty(len(key), np.int32),
        first=np.zeros(queues * WIDTH, np.int32),
        first_key=np.full(queues * WIDTH, EMPTY),
        last=np.zeros(queues * WIDTH, np.int32),
        last_key=np.full(queues * WIDTH, UNUSED),
        urgent=np.arange(queues) * WIDTH,
        used=np.ones(queues, np.int64),
        size=np.zeros(queues, np.int64),
        heaps=array_heaps(capacities),
    )


@register_jitable(forceinline=True)
def _before(queues: Lanes, lane: int, other: int) -> Any:
    """Whether the head of a lane is more urgent than that of another."""
    key, other_key = queues.first_key[lane], queues.first_key[other]
    return (key < other_key) | ((key == other_key) & (queues.first[lane] < queues.first[other]))


@register_jitable(forceinline=True)
def _mirror(queues: Lanes, at: int) -> None:
    """Show the heap's head as the head of its lane."""
    lane = at * WIDTH
    if queues.heaps.size[at] > 0:
        place = queues.heaps.start[at]
        queues.first[lane], queues.first_key[lane] = queues.heaps.id[place], queues.heaps.key[place]
    else:
        queues.first_key[lane] = EMPTY


@register_jitable(forceinline=True)
def _lane(queues: Lanes, at: int, key: int, id: int) -> Any:
    """Where a request belongs: the lane with the latest last one that is not later, or a lane never used, or else the heap."""
    heap = at * WIDTH
    end = heap + queues.used[at]
    lane, last_key = heap, UNUSED
    for other in range(heap + 1, end):
        behind = (queues.last_key[other] < key) | ((queues.last_key[other] == key) & (queues.last[other] < id))
        fits = behind & ((queues.last_key[other] > last_key) | (lane == heap))
        lane, last_key = (other if fits else lane), (queues.last_key[other] if fits else last_key)
    if lane == heap and queues.used[at] < WIDTH:
        queues.used[at] += 1
        return end
    return lane


# numba wants the functions that stand in for those of steps.py to have their very signatures, Any and all


def push(queues: Any, at: Any, key: Any, id: Any) -> None:
    """Put a request into a queue."""
    lane = _lane(queues, at, key, id)
    if lane == at * WIDTH:
        heaps.push(queues.heaps, at, key, id)
        _mirror(queues, at)
    else:
        if queues.first_key[lane] == EMPTY:
            queues.first[lane], queues.first_key[lane] = id, key
        else:
            queues.next[queues.last[lane]] = id
        queues.last[lane], queues.last_key[lane] = id, key
    queues.size[at] += 1
    if _before(queues, lane, queues.urgent[at]):
        queues.urgent[at] = lane


def pop(queues: Any, at: Any) -> Any:
    """Take the most urgent request out of a queue; its id."""
    lane = queues.urgent[at]
    id = queues.first[lane]
    if lane == at * WIDTH:
        heaps.pop(queues.heaps, at)
        _mirror(queues, at)
    elif id == queues.last[lane]:
        queues.first_key[lane], queues.last_key[lane] = EMPTY, UNUSED
    else:
        behind = queues.next[id]
        queues.first[lane], queues.first_key[lane] = behind, queues.key[behind]
    queues.size[at] -= 1
    urgent = at * WIDTH
    for other in range(urgent + 1, urgent + queues.used[at]):
        urgent = other if _before(queues, other, urgent) else urgent
    queues.urgent[at] = urgent
    return id


def head(queues: Any, at: Any) -> Any:
    """The (key, id) of the most urgent request of a queue that is not empty."""
    return queues.first_key[queues.urgent[at]], queues.first[queues.urgent[at]]


def count(queues: Any, at: Any) -> Any:
    """How many requests a queue holds."""
    return queues.size[at]
