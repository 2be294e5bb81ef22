"""Where the accuracies of a profile come from: measured on labels, told by whoever made the SuperNet, or a stand-in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Progress, Subnet, Worker
from superserve_cli.profiles.measure import accuracies, answers

MEASURED: Final = "measured"
DECLARED: Final = "declared"
PREDICTED: Final = "predicted"
AGREEMENT: Final = "agreement"


@dataclass(frozen=True, slots=True)
class Judge:
    """How accurate subnets are: `of` says it, 0..1, `kind` is what its numbers are, `about` says in words where they come from."""

    kind: str
    about: str
    of: Callable[[Worker, Sequence[Subnet], Progress], list[float]]


def measured(x: NDArray[Any], y: NDArray[np.int64], about: str) -> Judge:
    """The share of labelled inputs `x` (n, ...), `y` (n,) that a subnet puts into their class."""
    return Judge(MEASURED, about, lambda worker, subnets, progress: accuracies(worker, subnets, x, y, progress))


def told(kind: str, known: Mapping[Subnet, float], about: str) -> Judge:
    """What somebody else says: nothing is run for it."""
    return Judge(kind, about, lambda worker, subnets, progress: [known[subnet] for subnet in subnets])


def agreement(x: NDArray[Any], reference: Subnet, about: str) -> Judge:
    """The share of inputs `x` (n, ...) that a subnet puts into the same class as a reference does."""

    def of(worker: Worker, subnets: Sequence[Subnet], progress: Progress) -> list[float]:
        return accuracies(worker, subnets, x, answers(worker, reference, x), progress)

    return Judge(AGREEMENT, about, of)
