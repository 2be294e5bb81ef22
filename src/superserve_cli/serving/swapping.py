"""Swaps while a server runs: one at a time, each told to the log and to whoever asked. One that fails changes nothing."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from superserve_cli.errors import SuperserveError
from superserve_cli.serving.desk import Done
from superserve_cli.serving.logs import Event
from superserve_cli.serving.refusals import Busy, Failed, Invalid, Refusal

log = logging.getLogger("superserve.server")

REPLANNED: Final = "replanned"
REPLACED: Final = "replaced"
FAILED: Final = "failed"
ENDING: Final = "the server is shutting down"
Swap = Callable[[Callable[[str], None]], Awaitable[None]]
"""Swaps, and says how (REPLANNED or REPLACED) as soon as the new serves; raises the SuperserveError that hinders it."""


def nobody(refusal: Refusal | None) -> None:
    """Who asks by a signal reads the log."""


class Swapper:
    """Whom a signal or a client asks for a swap."""

    def __init__(self, swap: Swap) -> None:
        self._swap = swap
        self.turn = asyncio.Lock()
        self._asked: list[Done] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self.counts = Counter({REPLANNED: 0, REPLACED: 0, FAILED: 0})

    def ask(self, done: Done = nobody) -> None:
        """Swap as soon as earlier swaps are through; what is on disk then counts, so one swap does for all who ask before it begins."""
        if self._over:
            done(Busy(ENDING))
            return
        self._asked.append(done)
        if len(self._asked) == 1:
            task = asyncio.get_running_loop().create_task(self._one())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Begin no more, and leave those that have begun where they are."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        while self._asked:
            self._asked.pop()(Busy(ENDING))

    async def _one(self) -> None:
        asked = self._asked

        def tell(refusal: Refusal | None) -> None:
            while asked:
                asked.pop()(refusal)

        try:
            async with self.turn:
                self._asked = []  # who asks from now on means what is on disk later
                await self._next(tell)
        except asyncio.CancelledError:
            tell(Busy(ENDING))
            raise

    async def _next(self, done: Done) -> None:
        begun = time.monotonic()

        def serves(how: str) -> None:
            self.counts[how] += 1
            log.info(Event("swapped", how=how, after_s=round(time.monotonic() - begun, 3)))
            done(None)

        try:
            await self._swap(serves)
        except SuperserveError as error:
            self.counts[FAILED] += 1
            log.error(Event("swap_failed", error=str(error), hint=error.hint))
            done(Invalid(f"{error} ({error.hint})" if error.hint else str(error)))
        except Exception:
            self.counts[FAILED] += 1
            log.exception(Event("swap_failed", error="a bug of the server"))
            done(Failed("the server has a bug; its log says more"))
