"""Where the accuracies of a profile come from: measured on labels, told by whoever made the SuperNet, or a stand-in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Progress, Subnet, Worker
from superserve_cli.profiles.measure import accuracies, outputs

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
    """How far subnets answer inputs `x` (n, ...) as a reference does, see `alike`."""

    def of(worker: Worker, subnets: Sequence[Subnet], progress: Progress) -> list[float]:
        wanted, found = outputs(worker, reference, x), []
        for done, subnet in enumerate(subnets, 1):
            found.append(alike(outputs(worker, subnet, x), wanted))
            progress(done, len(subnets), subnet)
        return found

    return Judge(AGREEMENT, about, of)


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The share of inputs that two sets of outputs (n, classes) put into the same class.

    Of a single output, a score: the share of pairs of inputs that both put into the same order.
    """
    if one.shape[-1] > 1:
        return float(np.mean(one.argmax(axis=-1) == other.argmax(axis=-1)))
    first, second = np.triu_indices(len(one), 1)
    return float(np.mean(np.sign(one[first] - one[second]) == np.sign(other[first] - other[second])))
