"""A plan bound to tensors: what actuates a subnet.

A program is an immutable tuple of operations over views of the shared weights. It is built once; from then on, to switch
subnets is to call another program.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

from superserve_cli.supernet.layers import (
    Activation,
    Attention,
    AvgPool,
    Conv,
    Embed,
    Flatten,
    GlobalMean,
    Join,
    Kind,
    Layer,
    LayerNorm,
    LayerSelect,
    Linear,
    MaxPool,
    Norm,
    Plan,
    Positions,
    Resize,
    RmsNorm,
    Scale,
    Sequence,
    TokenPool,
    UnitLength,
    Weight,
)
from superserve_cli.supernet.plan import norms

MASKED: Final = -1e4
"""Added to the scores of padding, as BERT does: finite, so that a row that sees only padding stays a number."""


class Padding(NamedTuple):
    """Which words of a batch are not padding: `keep` (n, length) bool, `bias` (n, 1, 1, length) to add to attention scores."""

    keep: Tensor
    bias: Tensor


Operation = Callable[[Tensor, Padding | None], Tensor]
Take = Callable[[Weight], Tensor]
"""The tensor of a weight: a view of the shared one, or a packed copy."""


@dataclass(frozen=True, slots=True)
class Program:
    """What one subnet does, bound to tensors. `padding` is the word that is masked out, of networks that read words."""

    operations: tuple[Operation, ...]
    padding: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs of a batch (n, ...)."""
        return run(self.operations, x, None if self.padding is None else padding_of(x, self.padding))


def run(operations: tuple[Operation, ...], x: Tensor, padding: Padding | None) -> Tensor:
    """One operation after the other."""
    for each in operations:
        x = each(x, padding)
    return x


def padding_of(words: Tensor, padding: int) -> Padding:
    """Which of the words (n, length) or (n, 2, length) are not `padding`."""
    keep = (words if words.ndim == 2 else words[:, 0]) != padding
    return Padding(keep, (~keep)[:, None, None] * MASKED)


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
class Project:
    """A bound `Linear`."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor, _: Padding | None = None) -> Tensor:
        """(..., in) to (..., out)."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Attend:
    """A bound `Attention`."""

    query: Project
    key: Project
    value: Project
    out: Project
    heads: int
    key_heads: int
    causal: bool
    rotary: float | None

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        """(n, length, width) to the same shape."""
        q, k, v = (
            self._split(self.query(x), self.heads),
            self._split(self.key(x), self.key_heads),
            self._split(self.value(x), self.key_heads),
        )
        if self.rotary is not None:
            cos, sin = turns(self.rotary, q.shape[-1], q.shape[-2], q.device, q.dtype)
            q, k = turned(q, cos, sin), turned(k, cos, sin)
        if self.key_heads != self.heads:
            k, v = (part.repeat_interleave(self.heads // self.key_heads, 1) for part in (k, v))
        bias = None if padding is None else padding.bias.to(q.dtype)
        if bias is not None and self.causal:
            bias = bias + later(q.shape[-2], q.device, q.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v, bias, is_causal=self.causal and bias is None)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


@lru_cache(maxsize=64)
def turns(base: float, dimensions: int, length: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, dimensions) of rotary embeddings, both halves of the dimensions turned alike."""
    with torch.inference_mode(False):
        frequency = base ** (-torch.arange(0, dimensions, 2, dtype=torch.float32) / dimensions)
        angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency).repeat(1, 2)
        return angle.cos().to(device, dtype), angle.sin().to(device, dtype)


@lru_cache(maxsize=64)
def later(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The bias (length, length) that hides from each place those after it."""
    with torch.inference_mode(False):
        return torch.full((length, length), MASKED).triu(1).to(device, dtype)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys (n, heads, length, dimensions), turned by their place."""
    one, other = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-other, one), -1) * sin


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
    """A bound `Join` that adds; `in_place` where nobody else holds what the first branch yields."""

    branches: tuple[tuple[Operation, ...], ...]
    in_place: bool

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        """The sum of what the branches yield."""
        total = run(self.branches[0], x, padding)
        for branch in self.branches[1:]:
            other = run(branch, x, padding)
            total = total.add_(other) if self.in_place else total + other
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
            return (x * keep).sum(1) / keep.sum(1)
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


def fresh(plan: Plan, place: int) -> bool:
    """Whether the input of a layer was made by the layer before it, and by one whose output may be overwritten."""
    return place > 0 and isinstance(plan[place - 1], OWN | Join)


def bind(plan: Plan, take: Take, normalize: Callable[[Norm], Operation]) -> Program:
    """The program of a plan over the tensors that `take` gives; `normalize` binds each SubnetNorm layer, in the order of `plan.norms`."""
    words = next((layer for layer in plan if isinstance(layer, Embed)), None)
    return Program(_bound(plan, take, normalize), None if words is None else words.padding)


def _bound(plan: Plan, take: Take, normalize: Callable[[Norm], Operation]) -> tuple[Operation, ...]:
    operations: list[Operation] = []
    for place, layer in enumerate(plan):
        match layer:
            case Norm():
                operations.append(normalize(layer))
            case Join(kind, branches):
                branches = tuple(sorted(branches, key=lambda branch: not branch))  # the identity last: what the first yields is overwritten
                bound = tuple(_bound(branch, take, normalize) for branch in branches)
                operations.append(Multiply(bound) if kind == "mul" else Add(bound, bool(branches[0]) and isinstance(branches[0][-1], OWN)))
            case LayerSelect():
                operations.append(Select(tuple(op for block in layer.selected for op in _bound(block, take, normalize))))
            case Activation("relu") if fresh(plan, place):
                operations.append(Elementwise(torch.relu_))
            case _:
                operations.append(operation(layer, take))
    return tuple(operations)


OWN: Final = Conv | Norm | Linear | Attention
"""Layers whose output is a new tensor that no backward pass looks at again."""


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


def views(weights: Mapping[str, Tensor]) -> Take:
    """Takes each weight as a view of the shared one."""
    return lambda weight: weight.of(weights)


def remembered(take: Take) -> Take:
    """Takes each weight only once: subnets that use the same part of a weight then hold one view of it, not one each."""
    taken: dict[Weight, Tensor] = {}

    def look_up(weight: Weight) -> Tensor:
        if (tensor := taken.get(weight)) is None:
            tensor = taken[weight] = take(weight)
        return tensor

    return look_up


def packed(weights: Mapping[str, Tensor]) -> Take:
    """Takes each weight as a contiguous tensor, kernels channel by channel: a copy, unless the view is one already."""

    def take(weight: Weight) -> Tensor:
        view = weight.of(weights)
        return view.contiguous(memory_format=torch.channels_last if view.ndim == 4 else torch.contiguous_format)

    return take


def by_batch(take: Take) -> Callable[[Norm], Operation]:
    """Binds SubnetNorm layers to the statistics of whatever batch comes."""
    return lambda norm: NormalizeByBatch(take(norm.scale), take(norm.shift), norm.epsilon)


def by_statistics(plan: Plan, take: Take, mean: Tensor, variance: Tensor) -> Callable[[Norm], Operation]:
    """Binds SubnetNorm layers to a subnet's own statistics: two vectors, all layers one after the other."""
    channels = [norm.channels for norm in norms(plan)]
    own = iter(zip(torch.split(mean, channels), torch.split(variance, channels), strict=True))
    return lambda norm: Normalize(take(norm.scale), take(norm.shift), *next(own), norm.epsilon)
