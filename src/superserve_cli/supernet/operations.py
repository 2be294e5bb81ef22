"""The operations that programs are made of: layers bound to tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

from superserve_cli.supernet.attention import Attend, Operation, Padding, Project
from superserve_cli.supernet.layers import (
    Activation,
    Attention,
    AvgPool,
    Conv,
    Embed,
    Flatten,
    GlobalMean,
    Kind,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    Positions,
    Resize,
    RmsNorm,
    Scale,
    Sequence,
    TokenPool,
    UnitLength,
    Weight,
)

Take = Callable[[Weight], Tensor]
"""The tensor of a weight: a view of the shared one, or a packed copy."""


def run(operations: tuple[Operation, ...], x: Tensor, padding: Padding | None) -> Tensor:
    """One operation after the other."""
    for each in operations:
        x = each(x, padding)
    return x


@dataclass(frozen=True, slots=True)
class Convolve:
    """A bound `Conv`."""

    weight: Tensor
    bias: Tensor | None
    stride: int
    padding: int
    groups: int

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        """(n, in, h, w) to (n, out, ...)."""
        return torch.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)


@dataclass(frozen=True, slots=True)
class Normalize:
    """A bound `Norm`; all four tensors are (channels,)."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    variance: Tensor
    epsilon: float

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        """(n, c, h, w) to the same shape."""
        return torch.batch_norm(x, self.scale, self.shift, self.mean, self.variance, False, 0.0, self.epsilon, True)


@dataclass(frozen=True, slots=True)
class NormalizeByBatch:
    """A `Norm` that uses the mean and the biased variance of the batch itself, as training does."""

    scale: Tensor
    shift: Tensor
    epsilon: float

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        """(n, c, h, w) to the same shape."""
        return torch.batch_norm(x, self.scale, self.shift, None, None, True, 0.0, self.epsilon, True)


@dataclass(frozen=True, slots=True)
class NormalizeRows:
    """A bound `LayerNorm`."""

    scale: Tensor
    shift: Tensor
    epsilon: float

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        """(..., width) to the same shape."""
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.epsilon)


@dataclass(frozen=True, slots=True)
class NormalizeByRms:
    """A bound `RmsNorm`."""

    scale: Tensor
    epsilon: float

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        """(..., width) to the same shape."""
        return F.rms_norm(x, self.scale.shape, self.scale, self.epsilon)


@dataclass(frozen=True, slots=True)
class Look:
    """A bound `Embed`."""

    words: Tensor
    positions: Tensor | None
    types: Tensor | None

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        """(n, length) or (n, 2, length) int64 to (n, length, width)."""
        words, types = (x, None) if x.ndim == 2 else (x[:, 0], x[:, 1])
        y = F.embedding(words, self.words)
        if self.types is not None:
            y = y + F.embedding(torch.zeros_like(words) if types is None else types, self.types)
        return y if self.positions is None else y + self.positions[: words.shape[1]]


@dataclass(frozen=True, slots=True)
class Select:
    """A bound `LayerSelect`, or a branch of a join: operations in a row."""

    operations: tuple[Operation, ...]

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        """What they make of x."""
        return run(self.operations, x, padding)


@dataclass(frozen=True, slots=True)
class Add:
    """A bound `Join` that adds; `in_place` where nobody else holds what the first branch yields, and unless it is the smaller one."""

    branches: tuple[tuple[Operation, ...], ...]
    in_place: bool

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        """The sum of what the branches yield."""
        total = run(self.branches[0], x, padding)
        for branch in self.branches[1:]:
            other = run(branch, x, padding)
            total = total.add_(other) if self.in_place and total.shape == other.shape else total + other
        return total


@dataclass(frozen=True, slots=True)
class Multiply:
    """A bound `Join` that multiplies."""

    branches: tuple[tuple[Operation, ...], ...]

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        """The product of what the branches yield."""
        total = run(self.branches[0], x, padding)
        for branch in self.branches[1:]:
            total = total * run(branch, x, padding)
        return total


@dataclass(frozen=True, slots=True)
class Elementwise:
    """A bound layer without parameters."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, _: Padding | None) -> Tensor:
        """f(x)."""
        return self.function(x)


@dataclass(frozen=True, slots=True)
class Pool:
    """A bound `TokenPool`."""

    which: str

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        """(n, length, width) to (n, width)."""
        if self.which == "first":
            return x[:, 0]
        if padding is None:
            return x[:, -1] if self.which == "last" else x.mean(1)
        if self.which == "mean":
            keep = padding.keep[:, :, None].to(x.dtype)
            return (x * keep).sum(1) / keep.sum(1).clamp(min=1)  # nothing but padding: a zero vector, not a division by zero
        places = torch.arange(x.shape[1], device=x.device)
        return x[torch.arange(len(x), device=x.device), (padding.keep * places).argmax(1)]


ACTIVATIONS: Final[dict[Kind, Callable[[Tensor], Tensor]]] = {
    "relu": torch.relu,
    "relu6": F.relu6,
    "hard_swish": F.hardswish,
    "hard_sigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
}


def operation(layer: Layer, take: Take) -> Operation:  # noqa: PLR0911, PLR0912  # one line per kind of layer
    """One layer bound to its weights; of all kinds but `Norm`, `Join` and `LayerSelect`, which `bind` deals with."""

    def maybe(weight: Weight | None) -> Tensor | None:
        return None if weight is None else take(weight)

    def project(layer: Linear) -> Project:
        return Project(take(layer.weight), maybe(layer.bias))

    match layer:
        case Conv(weight, stride, bias, groups):
            return Convolve(take(weight), maybe(bias), stride, layer.pad, groups)
        case Linear():
            return project(layer)
        case LayerNorm(scale, shift, epsilon):
            return NormalizeRows(take(scale), take(shift), epsilon)
        case RmsNorm(scale, epsilon):
            return NormalizeByRms(take(scale), epsilon)
        case Attention():
            query, key, value, out = map(project, layer.projections)
            return Attend(query, key, value, out, layer.heads, layer.key_heads, layer.causal, layer.rotary)
        case Embed(words, positions, types):
            return Look(take(words), maybe(positions), maybe(types))
        case Positions(table):
            added = take(table)
            return Elementwise(lambda x: x + added)
        case TokenPool(which):
            return Pool(which)
        case UnitLength():
            return Elementwise(lambda x: F.normalize(x, dim=-1))
        case Activation(kind):
            return Elementwise(ACTIVATIONS[kind])
        case Scale(factor):
            return Elementwise(lambda x: x * factor)
        case Resize(side):
            return Elementwise(lambda x: F.interpolate(x, (side, side), mode="bilinear", align_corners=False))
        case AvgPool(size, ceil):
            return Elementwise(lambda x: F.avg_pool2d(x, size, ceil_mode=ceil))
        case MaxPool(size, stride, padding):
            return Elementwise(lambda x: F.max_pool2d(x, size, stride, padding))
        case GlobalMean(keep):
            return Elementwise(lambda x: x.mean((2, 3), keepdim=keep))
        case Sequence():
            return Elementwise(lambda x: x.flatten(2).transpose(1, 2))
        case Flatten():
            return Elementwise(lambda x: x.flatten(1))
        case _:
            raise TypeError(f"no operation for {layer}")
