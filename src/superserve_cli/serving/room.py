"""How many bytes of requests a server holds at once, and how many it may."""

from collections.abc import Callable

from superserve_cli.serving.refusals import Busy

NOT_BOUND = 2**62


class Room:
    """Memory for requests: bodies that are still arriving, and rows that wait or run. Who takes some gives as much back, once."""

    __slots__ = ("held", "most", "retry_after_s")

    def __init__(self, most: int = NOT_BOUND) -> None:
        self.most = most
        self.held = 0
        self.retry_after_s: Callable[[], int] = lambda: 1

    def take(self, size: int) -> None:
        """Hold so many bytes more; raises Busy where that is more than there may be."""
        if self.held + size > self.most:
            raise Busy(f"requests of {self.held} bytes wait already, and {self.most} may", self.retry_after_s())
        self.held += size

    def give(self, size: int) -> None:
        """Hold so many bytes less."""
        self.held -= size
