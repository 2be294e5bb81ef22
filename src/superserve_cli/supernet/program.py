"""A plan bound to tensors: what actuates a subnet.

A program is an immutable tuple of operations over views of the shared weights. It is built once; from then on, to switch
subnets is to call another tuple.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

from superserve_cli.supernet.plan import AvgPool, Conv, GlobalMean, Linear, Norm, Plan, Relu, Residual, norms

EPSILON = 1e-5
Operation = Callable[[Tensor], Tensor]
Program = tuple[Operation, ...]


def run(program: Program, x: Tensor) -> Tensor:
    """The outputs of a batch (n, channels, height, width)."""
    for operation in program:
        x = operation(x)
    return x


@dataclass(frozen=True, slots=True)
class Convolve:
    """A bound `Conv`."""

    weight: Tensor
    stride: int
    padding: int

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in, h, w) to (n, out, h / stride, w / stride)."""
        return torch.conv2d(x, self.weight, None, self.stride, self.padding)


@dataclass(frozen=True, slots=True)
class Normalize:
    """A bound `Norm`; all four tensors are (channels,)."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    variance: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape."""
        return torch.batch_norm(x, self.scale, self.shift, self.mean, self.variance, False, 0.0, EPSILON, True)


@dataclass(frozen=True, slots=True)
class NormalizeByBatch:
    """A `Norm` that uses the mean and the biased variance of the batch itself, as training does."""

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape."""
        return torch.batch_norm(x, self.scale, self.shift, None, None, True, 0.0, EPSILON, True)


@dataclass(frozen=True, slots=True)
class Pool:
    """A bound `AvgPool`."""

    size: int

    def __call__(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c, h / size, w / size)."""
        return F.avg_pool2d(x, self.size)


@dataclass(frozen=True, slots=True)
class Add:
    """A bound `Residual`."""

    body: Program
    shortcut: Program

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in, h, w) to what the body makes of it."""
        return run(self.body, x).add_(run(self.shortcut, x)).relu_()


@dataclass(frozen=True, slots=True)
class Project:
    """A bound `Linear`."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in) to (n, out)."""
        return F.linear(x, self.weight, self.bias)


def global_mean(x: Tensor) -> Tensor:
    """(n, c, h, w) to (n, c)."""
    return x.mean((2, 3))


def bind(plan: Plan, weights: Mapping[str, Tensor], normalize: Callable[[Norm], Operation]) -> Program:
    """The program of a plan over views of `weights`; `normalize` binds each SubnetNorm layer, in the order of `plan.norms`."""
    operations: list[Operation] = []
    for layer in plan:
        match layer:
            case Conv(weight, stride):
                operations.append(Convolve(weight.of(weights), stride, layer.padding))
            case Norm():
                operations.append(normalize(layer))
            case Relu():
                operations.append(torch.relu_)
            case AvgPool(size):
                operations.append(Pool(size))
            case Residual(body, shortcut):
                operations.append(Add(bind(body, weights, normalize), bind(shortcut, weights, normalize)))
            case GlobalMean():
                operations.append(global_mean)
            case Linear(weight, bias):
                operations.append(Project(weight.of(weights), bias.of(weights)))
    return tuple(operations)


def by_batch(weights: Mapping[str, Tensor]) -> Callable[[Norm], Operation]:
    """Binds SubnetNorm layers to the statistics of whatever batch comes."""
    return lambda norm: NormalizeByBatch(norm.scale.of(weights), norm.shift.of(weights))


def by_statistics(plan: Plan, weights: Mapping[str, Tensor], mean: Tensor, variance: Tensor) -> Callable[[Norm], Operation]:
    """Binds SubnetNorm layers to a subnet's own statistics: two vectors, all layers one after the other."""
    channels = [norm.channels for norm in norms(plan)]
    own = iter(zip(torch.split(mean, channels), torch.split(variance, channels), strict=True))
    return lambda norm: Normalize(norm.scale.of(weights), norm.shift.of(weights), *next(own))
