from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from superserve_cli.supernet.layers import Norm, Plan
from superserve_cli.supernet.program import Operation, Padding, bind, by_batch, views
from superserve_cli.supernet.supernet import Statistics

BATCH = 256


@dataclass
class _Observer:
    """A norm layer that normalises by the batch, and adds up each batch's statistics, weighted by its images."""

    normalize: Operation
    mean: Tensor | float = 0.0
    variance: Tensor | float = 0.0
    images: int = 0

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        self.mean += len(x) * mean
        self.variance += len(x) * variance
        self.images += len(x)
        return self.normalize(x, padding)


def calibrate(plan: Plan, weights: Mapping[str, Tensor], x: Tensor) -> Statistics:
    """A subnet's own SubnetNorm statistics, from training images (n, channels, height, width).

    The image-weighted average of batch means and biased batch variances, without momentum, as Once-for-All resets BatchNorm;
    what SuperServe, section 3.1, precomputes for each subnet.
    """
    observers: list[_Observer] = []
    program = bind(plan, views(weights), _observed(weights, observers))
    with torch.inference_mode():
        for batch in torch.split(x, BATCH):
            program(batch)
        means = [torch.as_tensor(o.mean) / o.images for o in observers]
        variances = [torch.as_tensor(o.variance) / o.images for o in observers]
        return Statistics(torch.cat(means), torch.cat(variances))


def _observed(weights: Mapping[str, Tensor], observers: list[_Observer]) -> Callable[[Norm], Operation]:
    by_this = by_batch(views(weights))

    def normalize(norm: Norm) -> Operation:
        observers.append(_Observer(by_this(norm)))
        return observers[-1]

    return normalize
