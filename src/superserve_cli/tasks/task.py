from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Split(NamedTuple):
    """Labelled inputs: `x` float32 images (n, channels, height, width) or int64 words (n, length), `y` (n,) int64 class indices."""

    x: NDArray[Any]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A classification task. `shape` is that of one input: (channels, height, width) or (length,); `make` yields a split by its name.

    Each split is made when it is first asked for: a load generator that sends test images never waits for training data.
    """

    name: str
    shape: tuple[int, ...]
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
