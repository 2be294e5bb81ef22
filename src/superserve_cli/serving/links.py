from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet


class Link(Protocol):
    """A worker as its router sees it: at most one batch at a time; it reports to its `Listener`, never from within `start`."""

    def start(self, subnet: Subnet, batch: Sequence[NDArray[Any]]) -> None:
        """Run the rows of some requests, in this order, as one batch. A worker that is gone reports its loss instead of raising."""
        ...


class Listener(Protocol):
    """Whom a link reports to."""

    def done(self, worker: int, logits: NDArray[np.float32], compute_ns: int) -> None:
        """A batch is ready; `logits` may be reused once this returns."""
        ...

    def lost(self, worker: int) -> None:
        """A worker has died, with the batch that it had."""
        ...

    def restored(self, worker: int) -> None:
        """A worker is warm and idle."""
        ...
