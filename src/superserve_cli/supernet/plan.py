"""What one subnet computes, as data: which layers, on which ranges of which shared parameters.

A family turns a point of its space into a plan, with the paper's three operators (SuperServe, section 3.1): LayerSelect is the
function `layer_select`, which keeps the first blocks of a stage; WeightSlice is a value, which names ranges of a parameter;
SubnetNorm is the layer `Norm`, whose statistics belong to the subnet and not to the SuperNet. Everything else is a fold over
the plan: the program that runs it, the parameters that it touches, its cost, its extraction, its calibration.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

from torch import Tensor

Ranges = tuple[range, ...]
"""What a subnet uses of a parameter: one range of indices for each of its dimensions."""
Block = TypeVar("Block")


def layer_select(blocks: Sequence[Block], depth: int) -> Sequence[Block]:
    """The blocks of a stage that run at a depth: the first ones (LayerSelect of convolutional SuperNets)."""
    return blocks[:depth]


@dataclass(frozen=True, slots=True)
class WeightSlice:
    """Ranges of one shared parameter. `of` takes them as a view: nothing is copied."""

    parameter: str
    ranges: Ranges

    @classmethod
    def prefix(cls, parameter: str, *sizes: int) -> "WeightSlice":
        """The first `sizes` indices of each dimension."""
        return cls(parameter, tuple(range(size) for size in sizes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the slice."""
        return tuple(map(len, self.ranges))

    def of(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The view itself."""
        return weights[self.parameter][tuple(slice(r.start, r.stop, r.step) for r in self.ranges)]


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution without bias, padded so that stride 1 keeps the size. Weight (out, in, k, k)."""

    weight: WeightSlice
    stride: int = 1

    @property
    def padding(self) -> int:
        """Half the kernel."""
        return self.weight.shape[-1] // 2


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation with the subnet's own mean and variance (SubnetNorm), and shared scale and shift."""

    scale: WeightSlice
    shift: WeightSlice

    @property
    def channels(self) -> int:
        """How many channels it normalises."""
        return self.scale.shape[0]


@dataclass(frozen=True, slots=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True, slots=True)
class AvgPool:
    """The mean over windows of `size` x `size`, which do not overlap."""

    size: int


@dataclass(frozen=True, slots=True)
class Residual:
    """relu(body(x) + shortcut(x)); an empty shortcut is the identity."""

    body: "Plan"
    shortcut: "Plan"


@dataclass(frozen=True, slots=True)
class GlobalMean:
    """The mean over height and width: (n, c, h, w) to (n, c)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """x @ weight.T + bias. Weight (out, in)."""

    weight: WeightSlice
    bias: WeightSlice


Layer = Conv | Norm | Relu | AvgPool | Residual | GlobalMean | Linear
Plan = tuple[Layer, ...]


def layers(plan: Plan) -> Iterator[Layer]:
    """Every layer in the order of its execution, residual bodies before their shortcuts."""
    for layer in plan:
        if isinstance(layer, Residual):
            yield from layers(layer.body)
            yield from layers(layer.shortcut)
        else:
            yield layer


def norms(plan: Plan) -> list[Norm]:
    """The SubnetNorm layers, in the order in which a subnet's statistics are kept."""
    return [layer for layer in layers(plan) if isinstance(layer, Norm)]


def slices(plan: Plan) -> list[WeightSlice]:
    """Every use of a shared parameter."""
    used: list[WeightSlice] = []
    for layer in layers(plan):
        match layer:
            case Conv(weight):
                used.append(weight)
            case Norm(scale, shift):
                used += [scale, shift]
            case Linear(weight, bias):
                used += [weight, bias]
            case _:
                pass
    return used


def params(plan: Plan) -> int:
    """How many numbers a subnet computes with: its share of the shared weights, and its own statistics."""
    return sum(prod(s.shape) for s in slices(plan)) + 2 * sum(norm.channels for norm in norms(plan))


def macs(plan: Plan, side: int) -> int:
    """Multiply-accumulates of convolutions and linear layers, for one square image of `side` pixels."""
    return _cost(plan, side)[0]


def _cost(plan: Plan, side: int) -> tuple[int, int]:
    total = 0
    for layer in plan:
        match layer:
            case Conv(weight, stride):
                side = -(-side // stride)
                total += side * side * prod(weight.shape)
            case AvgPool(size):
                side //= size
            case Linear(weight, _):
                total += prod(weight.shape)
            case Residual(body, shortcut):
                total += _cost(shortcut, side)[0]
                inner, side = _cost(body, side)
                total += inner
            case _:
                pass
    return total, side
