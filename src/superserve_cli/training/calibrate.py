from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from superserve_cli.supernet.attention import Operation, Padding
from superserve_cli.supernet.layers import Norm, Plan
from superserve_cli.supernet.program import bind, views
from superserve_cli.supernet.supernet import Statistics

BATCH = 256


@dataclass
class _Observer:
    """A norm layer that normalises by the batch, and adds up each batch's statistics, weighted by its images."""

    scale: Tensor
    shift: Tensor
    epsilon: float
    mean: Tensor = field(init=False)
    variance: Tensor = field(init=False)
    images: int = 0

    def __post_init__(self) -> None:
        self.mean, self.variance = torch.zeros_like(self.scale), torch.zeros_like(self.scale)

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        # momentum 1 puts the batch's own statistics into the running ones: several times as fast as torch.var_mean over three dimensions
        mean, variance = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        y = torch.batch_norm(x, self.scale, self.shift, mean, variance, True, 1.0, self.epsilon, True)
        values = x.numel() // x.shape[1]
        self.mean += len(x) * mean
        if values > 1:  # the variance of one value is 0, and there is no unbiased one
            self.variance += len(x) * (values - 1) / values * variance
        self.images += len(x)
        return y


def calibrate(plan: Plan, weights: Mapping[str, Tensor], batches: Iterable[Tensor]) -> Statistics:
    """A subnet's own SubnetNorm statistics, from batches of training images (n, channels, height, width).

    The image-weighted average of batch means and biased batch variances, without momentum, as Once-for-All resets BatchNorm;
    what SuperServe, section 3.1, precomputes for each subnet.
    """
    observers: list[_Observer] = []
    program = bind(plan, views(weights), _observed(weights, observers))
    with torch.inference_mode():
        for batch in batches:
            program(batch)
        return Statistics(torch.cat([o.mean / o.images for o in observers]), torch.cat([o.variance / o.images for o in observers]))


def _observed(weights: Mapping[str, Tensor], observers: list[_Observer]) -> Callable[[Norm], Operation]:
    take = views(weights)

    def normalize(norm: Norm) -> Operation:
        observers.append(_Observer(take(norm.scale), take(norm.shift), norm.epsilon))
        return observers[-1]

    return normalize
