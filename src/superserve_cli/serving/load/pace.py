"""When to send: the intended schedule, walked with loop timers, and how late these are."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns
from typing import Final

import numpy as np

from superserve_cli.core.nouns import NS_PER_S

TICK_S: Final = 0.001
"""uvloop's timers count milliseconds; less than half of one would not sleep but spin, and take the core from the server."""
BREATH: Final = 32
"""After so many requests in a row the loop reads answers, or a burst would make them look late."""
REHEARSAL_S: Final = 0.1
REHEARSAL_STEP_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Clock:
    """Nanoseconds since the run's origin."""

    origin_ns: int

    @classmethod
    def started(cls) -> "Clock":
        """A clock that shows 0 now."""
        return cls(monotonic_ns())

    def now_ns(self) -> int:
        """Since the origin."""
        return monotonic_ns() - self.origin_ns


async def pace(arrivals_ns: Sequence[int], clock: Clock, send: Callable[[int], None]) -> None:
    """Call send(i) when arrival i is due: at each timer all that are."""
    i, n = 0, len(arrivals_ns)
    while i < n:
        ahead_ns = arrivals_ns[i] - clock.now_ns()
        if ahead_ns > 0:
            await asyncio.sleep(max(TICK_S, ahead_ns / NS_PER_S))
            continue
        until = min(i + BREATH, n)
        now_ns = clock.now_ns()
        while i < until and arrivals_ns[i] <= now_ns:
            send(i)
            i += 1
        await asyncio.sleep(0)


async def idle_lag_ns() -> int:
    """How late the 99th percentile of this machine's timers is when nothing else is going on in this process."""
    steps = np.arange(0, REHEARSAL_S, REHEARSAL_STEP_S)
    due_ns: list[int] = (steps * NS_PER_S).astype(np.int64).tolist()
    sent_ns: list[int] = []
    clock = Clock.started()
    await pace(due_ns, clock, lambda _: sent_ns.append(clock.now_ns()))
    return int(np.percentile(np.subtract(sent_ns, due_ns), 99))


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection within: a full one takes longer than a short SLO."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
