"""Where the router's time comes from: the event loop's monotonic clock, or one that a test moves by hand."""

import asyncio
import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from superserve_cli.core.nouns import NS_PER_S


class Clock(Protocol):
    """Monotonic nanoseconds, and something to do later."""

    def now_ns(self) -> int:
        """The time."""
        ...

    def call_later(self, delay_ns: int, then: Callable[[], None]) -> None:
        """Do something when a delay has passed."""
        ...


class LoopClock:
    """The time of the machine; later is when an event loop gets to it."""

    now_ns = staticmethod(time.monotonic_ns)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_later(self, delay_ns: int, then: Callable[[], None]) -> None:
        """Do something when a delay has passed."""
        self._loop.call_later(delay_ns / NS_PER_S, then)


class VirtualClock:
    """Time that stands still until somebody advances it."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._calls = 0

    def now_ns(self) -> int:
        """The time."""
        return self._now_ns

    def call_later(self, delay_ns: int, then: Callable[[], None]) -> None:
        """Do something when the time has advanced so far; in the order of the calls at one instant."""
        self._calls += 1
        heappush(self._later, (self._now_ns + delay_ns, self._calls, then))

    def block(self, ns: int) -> None:
        """Let time pass in which nobody can do anything: what falls due waits until somebody advances."""
        self._now_ns += ns

    def advance(self, ns: int) -> None:
        """Let time pass, and do what falls due on the way, each at its own instant."""
        until = self._now_ns + ns
        while self._later and self._later[0][0] <= until:
            due_ns, _, then = heappop(self._later)
            self._now_ns = max(self._now_ns, due_ns)
            then()
        self._now_ns = max(self._now_ns, until)
