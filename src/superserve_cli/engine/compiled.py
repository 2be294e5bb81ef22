"""The engine's own source, compiled: nothing is written twice but the five heap functions, here on arrays instead of lists.

Lists that cross a call cost compiled code atomic reference counts; these heaps are slices of flat arrays, four children to a node, so
that a level is one cache line of keys.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from superserve_cli.engine import steps

WAYS = 4


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
    """Write an item where it belongs between place `at` and the leaves."""
    while True:
        first = at * WAYS + 1
        if first >= n:
            break
        best, best_key, best_id = first, heaps.key[base + first], heaps.id[base + first]
        for child in range(first + 1, min(first + WAYS, n)):
            other, other_id = heaps.key[base + child], heaps.id[base + child]
            if other < best_key or (other == best_key and other_id < best_id):
                best, best_key, best_id = child, other, other_id
        if key < best_key or (key == best_key and id < best_id):
            break
        heaps.key[base + at], heaps.id[base + at] = best_key, best_id
        at = best
    heaps.key[base + at], heaps.id[base + at] = key, id


@overload(steps.push, jit_options={"forceinline": True})
def _push(heaps: Any, at: Any, key: Any, id: Any) -> Callable[..., None]:
    def push(heaps: Any, at: Any, key: Any, id: Any) -> None:
        n = heaps.size[at]
        heaps.size[at] = n + 1
        _rise(heaps, heaps.start[at], n, key, id)

    return push


@overload(steps.pop, jit_options={"forceinline": True})
def _pop(heaps: Any, at: Any) -> Callable[..., int]:
    def pop(heaps: Any, at: Any) -> Any:
        base, n = heaps.start[at], heaps.size[at] - 1
        heaps.size[at] = n
        top = heaps.id[base]
        if n > 0:
            _sink(heaps, base, n, 0, heaps.key[base + n], heaps.id[base + n])
        return top

    return pop


@overload(steps.head, jit_options={"forceinline": True})
def _head(heaps: Any, at: Any) -> Callable[..., tuple[int, int]]:
    def head(heaps: Any, at: Any) -> Any:
        return heaps.key[heaps.start[at]], heaps.id[heaps.start[at]]

    return head


@overload(steps.count, jit_options={"forceinline": True})
def _count(heaps: Any, at: Any) -> Callable[..., int]:
    def count(heaps: Any, at: Any) -> Any:
        return heaps.size[at]

    return count


@overload(steps.discard, jit_options={"forceinline": True})
def _discard(heaps: Any, at: Any, key: Any, id: Any) -> Callable[..., bool]:
    def discard(heaps: Any, at: Any, key: Any, id: Any) -> Any:
        base, n = heaps.start[at], heaps.size[at]
        for place in range(n):
            if heaps.key[base + place] == key and heaps.id[base + place] == id:
                heaps.size[at] = n - 1
                if place < n - 1:
                    last, last_id = heaps.key[base + n - 1], heaps.id[base + n - 1]
                    _sink(heaps, base, n - 1, place, last, last_id)
                    _rise(heaps, base, place, heaps.key[base + place], heaps.id[base + place])
                return True
        return False

    return discard


@overload(bisect_right, jit_options={"forceinline": True})
def _bisect_right(a: Any, x: Any, lo: Any = 0, hi: Any = None) -> Callable[..., int]:
    def search(a: Any, x: Any, lo: Any = 0, hi: Any = None) -> Any:
        end = len(a) if hi is None else hi
        while lo < end:
            mid = (lo + end) // 2
            if x < a[mid]:
                end = mid
            else:
                lo = mid + 1
        return lo

    return search


for _step in (
    steps.enqueue,
    steps.dequeue,
    steps.most_urgent,
    steps.decide,
    steps.sheds,
    steps.take,
    steps.runs_as,
    steps.draw_ns,
    steps.note,
    steps.change,
):
    register_jitable(forceinline=True)(_step)


# Nothing in the loop allocates, so it needs no reference counts (_nrt), which would cost two thirds of its speed.
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def _compile() -> Any:
    try:
        return njit(cache=True, **OPTIONS)(steps.simulate)
    except RuntimeError:  # no folder to cache in (read-only installation, no home): compile in every process
        return njit(**OPTIONS)(steps.simulate)


simulate = _compile()
