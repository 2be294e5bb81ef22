"""The engine's own source, compiled: nothing is written twice but its queues, here in arrays instead of lists.

`steps.py` and `world.py` are compiled as they stand; the five functions on queues at the top of `steps.py` get their compiled selves:
lanes for requests, flags for idle workers, a heap for busy ones.
"""

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast
from zlib import crc32

from numba import njit
from numba.extending import overload, register_jitable

from superserve_cli.engine import heaps, idle, lanes, steps, world

INLINE: Final[Any] = {"forceinline": True}


def _of(queues: Any) -> Any:
    """The module that implements a kind of queue."""
    return {lanes.Lanes: lanes, idle.Idle: idle, heaps.ArrayHeaps: heaps}[queues.instance_class]


@overload(steps.push, jit_options=INLINE)
def _push(queues: Any, at: Any, key: Any, id: Any) -> Callable[..., None]:
    return cast(Callable[..., None], _of(queues).push)


@overload(steps.pop, jit_options=INLINE)
def _pop(queues: Any, at: Any) -> Callable[..., Any]:
    return cast(Callable[..., Any], _of(queues).pop)


@overload(steps.head, jit_options=INLINE)
def _head(queues: Any, at: Any) -> Callable[..., Any]:
    return cast(Callable[..., Any], _of(queues).head)


@overload(steps.count, jit_options=INLINE)
def _count(queues: Any, at: Any) -> Callable[..., Any]:
    return cast(Callable[..., Any], _of(queues).count)


@overload(steps.discard, jit_options=INLINE)
def _discard(queues: Any, at: Any, key: Any, id: Any) -> Callable[..., Any]:
    return cast(Callable[..., Any], _of(queues).discard)


@overload(bisect_right, jit_options=INLINE)
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
    steps.sheds,
    steps.too_short_ns,
    steps.decide,
    steps.wake_ns,
    steps.shed_ns,
    steps.take,
    steps.runs_as,
    world.arrive,
    world.drop,
    world.run,
    world.first_free,
    world.picked,
    world._nth,
    world.first_to_start,
    world.admits,
    world.load,
    world.load_the_idle,
    world.complete,
    world.note,
    world.change,
    world.draw_ns,
    world.simulate,
):
    register_jitable(forceinline=True)(_step)


# Nothing in the loop allocates, so it needs no reference counts (_nrt), which would cost it dearly.
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def _compile(version: int) -> Any:
    """The compiled `simulate`, cached on disk under the version of its sources: numba alone would notice a change of one file only."""

    def simulate(
        happens: world.World,
        requests: steps.Requests,
        tables: steps.Tables,
        control: world.Control,
        late: int,
        until_ns: int,
        random: steps.Random,
        state: world.State,
        out: world.Outcome,
    ) -> bool:
        if version < 0:  # never: but what a function closes over is part of its key in the cache
            return False
        return world.simulate(happens, requests, tables, control, late, until_ns, random, state, out)

    try:
        return njit(cache=True, **OPTIONS)(simulate)
    except RuntimeError:  # no folder to cache in (read-only installation, no home): compile in every process
        return njit(**OPTIONS)(simulate)


SOURCES: Final = (steps.__file__, world.__file__, heaps.__file__, idle.__file__, lanes.__file__, __file__)
simulate = _compile(crc32(b"".join(Path(source).read_bytes() for source in SOURCES)))
