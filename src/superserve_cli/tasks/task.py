from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Split(NamedTuple):
    """Labelled images: `x` (n, channels, height, width) float32, `y` (n,) int64 class indices."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """An image classification task. `shape` is (channels, height, width) of one image; `make` yields a split by its name.

    Each split is made when it is first asked for: a load generator that sends test images never waits for training data.
    """

    name: str
    shape: tuple[int, int, int]
    labels: tuple[str, ...]
    make: Callable[[str], Split]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.labels)

    @cached_property
    def train(self) -> Split:
        """What weights and SubnetNorm statistics are learnt from."""
        return self.make("train")

    @cached_property
    def validation(self) -> Split:
        """What the front is chosen on."""
        return self.make("validation")

    @cached_property
    def test(self) -> Split:
        """What accuracies are reported on."""
        return self.make("test")
