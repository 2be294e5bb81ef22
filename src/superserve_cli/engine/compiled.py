"""The engine's own source, compiled: nothing is written twice but the five heap functions, here on arrays instead of lists.

Lists that cross a call cost compiled code atomic reference counts; these heaps are slices of flat arrays.
"""

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numba import njit
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from superserve_cli.engine import steps

WAYS = 2
"""Children of a node: 4 and 8 were 10-25 % slower at shallow queues, and no faster at queues of a million."""


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
    steps.simulate,
):
    register_jitable(forceinline=True)(_step)


# Nothing in the loop allocates, so it needs no reference counts (_nrt), which would cost two thirds of its speed.
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def _compile(version: int) -> Any:
    """The compiled `simulate`, cached on disk under the version of its sources: numba itself would notice a change of one file alone."""

    def simulate(
        world: steps.World,
        requests: steps.Requests,
        tables: steps.Tables,
        late: int,
        live: int,
        random: steps.Random,
        state: steps.State,
        out: steps.Outcome,
    ) -> int:
        if version < 0:  # never: but what a function closes over is part of its key in the cache
            return version
        return steps.simulate(world, requests, tables, late, live, random, state, out)

    try:
        return njit(cache=True, **OPTIONS)(simulate)
    except RuntimeError:  # no folder to cache in (read-only installation, no home): compile in every process
        return njit(**OPTIONS)(simulate)


simulate = _compile(crc32(Path(steps.__file__).read_bytes() + Path(__file__).read_bytes()))
