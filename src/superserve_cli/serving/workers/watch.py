import asyncio
from collections.abc import Callable

from superserve_cli.core.nouns import NS_PER_S


class Watch:
    """One timer for a time that keeps moving: it may look too early, and is then told until when to wait, but never too late."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._look = look
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, ns: int) -> None:
        """Look when so much time has passed, or before."""
        when_s = self._loop.time() + ns / NS_PER_S
        if self._timer is not None and self._timer.when() > when_s:
            self.calm()
        if self._timer is None:
            self._timer = self._loop.call_at(when_s, self._wake)

    def calm(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self._look()
