"""Binary heaps in flat arrays, for compiled code: lists that cross a call would cost it atomic reference counts."""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

WAYS = 2
"""Children of a node: more were slower at shallow queues, and no faster at deep ones."""


class ArrayHeaps(NamedTuple):
    """Heaps laid end to end: heap h is `key` and `id` from `start[h]` on, `size[h]` of them."""

    key: NDArray[np.int64]
    id: NDArray[np.int32]
    start: NDArray[np.int64]
    size: NDArray[np.int64]


def array_heaps(capacities: list[int]) -> ArrayHeaps:
    """Empty heaps of these capacities."""
    start = np.cumsum([0, *capacities])
    room = int(start[-1])
    return ArrayHeaps(np.empty(room, np.int64), np.empty(room, np.int32), start[:-1].astype(np.int64), np.zeros(len(capacities), np.int64))


@register_jitable(forceinline=True)
def _rise(heaps: ArrayHeaps, base: int, at: int, key: int, id: int) -> None:
    """Write an item where it belongs between place `at` and the root."""
    while at > 0:
        parent = (at - 1) // WAYS
        other, other_id = heaps.key[base + parent], heaps.id[base + parent]
        if other < key or (other == key and other_id < id):
            break
        heaps.key[base + at], heaps.id[base + at] = other, other_id
        at = parent
    heaps.key[base + at], heaps.id[base + at] = key, id


@register_jitable(forceinline=True)
def _sink(heaps: ArrayHeaps, base: int, n: int, at: int, key: int, id: int) -> None:
    """Write an item where it belongs below place `at`: the hole goes down to a leaf, and the item up from there.

    An item taken from the end nearly always belongs near the leaves, so comparing it on the way down would be in vain.
    """
    first = at * WAYS + 1
    while first < n:
        best, best_key, best_id = first, heaps.key[base + first], heaps.id[base + first]
        for child in range(first + 1, min(first + WAYS, n)):
            other, other_id = heaps.key[base + child], heaps.id[base + child]
            less = (other < best_key) | ((other == best_key) & (other_id < best_id))
            best, best_key, best_id = (child if less else best), (other if less else best_key), (other_id if less else best_id)
        heaps.key[base + at], heaps.id[base + at] = best_key, best_id
        at = best
        first = at * WAYS + 1
    _rise(heaps, base, at, key, id)


# numba wants the functions that stand in for those of steps.py to have their very signatures, Any and all


@register_jitable(forceinline=True)
def push(queues: Any, at: Any, key: Any, id: Any) -> None:
    """Put an item into a heap."""
    n = queues.size[at]
    queues.size[at] = n + 1
    _rise(queues, queues.start[at], n, key, id)


@register_jitable(forceinline=True)
def pop(queues: Any, at: Any) -> Any:
    """Take the item with the smallest (key, id) out of a heap; its id."""
    base, n = queues.start[at], queues.size[at] - 1
    queues.size[at] = n
    top = queues.id[base]
    if n > 0:
        _sink(queues, base, n, 0, queues.key[base + n], queues.id[base + n])
    return top


def head(queues: Any, at: Any) -> Any:
    """The smallest (key, id) of a heap that is not empty."""
    return queues.key[queues.start[at]], queues.id[queues.start[at]]


def count(queues: Any, at: Any) -> Any:
    """How many items a heap holds."""
    return queues.size[at]


def discard(queues: Any, at: Any, key: Any, id: Any) -> Any:
    """Take an item out of a heap wherever it stands; whether it was there."""
    base, n = queues.start[at], queues.size[at]
    for place in range(n):
        if queues.key[base + place] == key and queues.id[base + place] == id:
            queues.size[at] = n - 1
            if place < n - 1:
                _sink(queues, base, n - 1, place, queues.key[base + n - 1], queues.id[base + n - 1])
            return True
    return False
