"""When to send: the intended schedule, and how late the timers are that it is walked with."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns
from typing import Final

import numpy as np

from superserve_cli.core.nouns import NS_PER_S

BREATH: Final = 32
"""After so many requests in a row the answers are read, or a burst would make them look late."""
REHEARSAL_S: Final = 0.1
REHEARSAL_STEP_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Clock:
    """Nanoseconds since the run's origin, which all processes of this machine agree on."""

    origin_ns: int

    @classmethod
    def started(cls) -> "Clock":
        """A clock that shows 0 now."""
        return cls(monotonic_ns())

    def now_ns(self) -> int:
        """Since the origin."""
        return monotonic_ns() - self.origin_ns


def pace(arrivals_ns: Sequence[int], clock: Clock, send: Callable[[int], None], turn: Callable[[int], None]) -> None:
    """Call send(i) when arrival i is due; in between `turn(ns)` does other work, and comes back after so long at the latest."""
    i, n = 0, len(arrivals_ns)
    while i < n:
        now_ns = clock.now_ns()
        if (ahead_ns := arrivals_ns[i] - now_ns) > 0:
            turn(ahead_ns)
            continue
        until = min(i + BREATH, n)
        while i < until and arrivals_ns[i] <= now_ns:
            send(i)
            i += 1
        turn(0)


def idle_lag_ns(turn: Callable[[int], None]) -> int:
    """How late the 99th percentile of this machine's timers is when nothing else is going on in this process."""
    steps = np.arange(0, REHEARSAL_S, REHEARSAL_STEP_S)
    due_ns: list[int] = (steps * NS_PER_S).astype(np.int64).tolist()
    sent_ns: list[int] = []
    clock = Clock.started()
    pace(due_ns, clock, lambda _: sent_ns.append(clock.now_ns()), turn)
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
