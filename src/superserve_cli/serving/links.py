from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet


class Link(Protocol):
    """A worker as its router sees it. It answers its batches in the order in which it got them, and is given one only when it is free.

    Free it is when it has been restored, when it says so, and when it has answered all that it was given. It reports to its
    `Listener`, never from within `start`.
    """

    def start(self, subnet: Subnet, batch: Sequence[NDArray[Any]], plan_ns: int) -> None:
        """Run the rows of some requests, in this order, as one batch, which should take `plan_ns`.

        A worker that is gone reports its loss instead of raising; one that takes many times as long may be ended.
        """
        ...

    def look(self) -> None:
        """Report now what the worker has said already, if it has: the event loop will not come to it for a while."""
        ...


class Listener(Protocol):
    """Whom a link reports to."""

    def free(self, worker: int) -> None:
        """A worker may be given its next batch before it answers its last: that one would not be later for it than planned."""
        ...

    def done(self, worker: int, logits: NDArray[np.float32], compute_ns: int, actuation_ns: int | None = None) -> None:
        """A worker's oldest batch is ready; `logits` may be reused once this returns.

        `actuation_ns` is the part of it from the job to the choice of the subnet's program, where the worker has told.
        """
        ...

    def lost(self, worker: int, reason: str = "ended") -> None:
        """A worker is gone, with all that it has not answered; or it was already, and has failed to come back."""
        ...

    def restored(self, worker: int) -> None:
        """A worker is warm and idle."""
        ...
