"""A worker that answers at once: whatever a request then takes, the rest of the server takes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.serving.model import Model

CLASSES: Final = 10
NAME: Final = "noop"


class NoopWorker:
    """A core.nouns.Worker that looks at nothing and answers zeros."""

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Zeros (n, classes)."""
        return np.zeros((len(batch), CLASSES), np.float32)

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        """There is nothing to warm."""

    def describe(self) -> Mapping[str, Any]:
        """It computes nowhere."""
        return {"device": NAME, "threads": 1}


def make(shape: Sequence[int]) -> tuple[NoopWorker, Model]:
    """One that takes rows of a shape."""
    return NoopWorker(), Model(NAME, "none", tuple(shape), CLASSES)
