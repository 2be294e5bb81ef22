"""How good the subnets are, which of them form the front, and whether the front's ends differ by more than chance."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superserve_cli.core.nouns import Subnet

BATCH = 250
Correct = NDArray[np.bool_]


class Spread(NamedTuple):
    """Accuracy of the best subnet less that of the worst, on the same test images, and its standard error."""

    accuracy: float
    standard_error: float


def correct(program: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Correct:
    """Which images (n,) a subnet classifies correctly."""
    with torch.inference_mode():
        right = [program(images).argmax(1) == labels for images, labels in zip(torch.split(x, BATCH), torch.split(y, BATCH), strict=True)]
        return np.asarray(torch.cat(right).cpu().numpy())


def front(macs: Mapping[Subnet, int], accuracy: Mapping[Subnet, float]) -> tuple[Subnet, ...]:
    """The subnets that no other one matches in accuracy at the same cost or less, the cheapest first."""
    kept: list[Subnet] = []
    for subnet in sorted(macs, key=lambda s: (macs[s], -accuracy[s], s)):
        if not kept or accuracy[subnet] > accuracy[kept[-1]]:
            kept.append(subnet)
    return tuple(kept)


def spread(answers: Sequence[Correct]) -> Spread:
    """The spread of the subnets with these answers; its error is that of a mean of paired differences."""
    best, worst = max(answers, key=np.mean), min(answers, key=np.mean)
    difference = best.astype(float) - worst.astype(float)
    return Spread(float(difference.mean()), float(difference.std() / np.sqrt(len(difference))))
