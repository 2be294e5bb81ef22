"""WeightSlice for any block: which dimensions of which weights are the same channels, and what a fraction of them is.

Channels that a block takes in or yields keep their number, since its neighbours and its shortcut need them all. All others are the
block's own: of these the first ceil(W * C) stay (SuperServe, section 3.1), of attention the first ceil(W * H) heads.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import reduce
from math import ceil, prod
from typing import Any, Final

from superserve_cli.errors import BadOption
from superserve_cli.supernet.layers import (
    Attention,
    Conv,
    Embed,
    Flatten,
    Join,
    Layer,
    LayerNorm,
    LayerSelect,
    Linear,
    Norm,
    Plan,
    Positions,
    RmsNorm,
    Weight,
    WeightSlice,
)
from superserve_cli.supernet.plan import Shape, output_shape, slices


@dataclass(eq=False)
class Axis:
    """Channels that have to be kept or dropped together: `size` units of `unit` indices each. `of` is the axis that it became part of."""

    size: int
    unit: int = 1
    fixed: bool = False
    of: "Axis | None" = None

    @property
    def root(self) -> "Axis":
        """The axis that stands for all that are the same."""
        return self if self.of is None else self.of.root

    @property
    def length(self) -> int:
        """How many indices there are."""
        return self.size * self.unit

    def kept(self, fraction: float) -> int:
        """How many indices are in a fraction of the units, rounded up."""
        return self.length if self.fixed else ceil(round(fraction * self.size, 6)) * self.unit


class Axes:
    """The axes of every weight of a plan, found by following the channels through its layers.

    Raises BadOption for layers that do not fit together.
    """

    def __init__(self, plan: Plan, shape: Shape) -> None:
        self.of: dict[WeightSlice, tuple[Axis | None, ...]] = {}
        self._fix(self._through(plan, Axis(shape[_channels(shape)], fixed=True), shape))

    @property
    def inner(self) -> bool:
        """Whether any channels are neither taken in nor yielded."""
        return any(axis is not None and not axis.root.fixed for axes in self.of.values() for axis in axes)

    def cut(self, fraction: float) -> Callable[[WeightSlice], WeightSlice]:
        """Takes from each weight the first of its inner channels."""

        def cut(weight: WeightSlice) -> WeightSlice:
            ranges = zip(weight.ranges, self.of[weight], strict=True)
            return WeightSlice(weight.parameter, tuple(r if axis is None else r[: axis.root.kept(fraction)] for r, axis in ranges))

        return cut

    def _through(self, plan: Plan, axis: Axis, shape: Shape) -> Axis:
        for layer in plan:
            if len(shape) == 3 and isinstance(layer, ROWS):
                where = slices((layer,))[0].parameter
                raise BadOption(f"{where} is used on rows of pixels", hint="on images convolutions and BatchNorm are supported")
            axis = self._after(layer, axis, shape)
            shape = output_shape((layer,), shape)
        return axis

    def _after(self, layer: Layer, axis: Axis, shape: Shape) -> Axis:  # one case per kind of layer
        match layer:
            case Conv():
                return self._conv(layer, axis)
            case Linear():
                return self._linear(layer, axis)
            case Norm(scale, shift) | LayerNorm(scale, shift):
                self._note(scale, axis)
                self._note(shift, axis)
            case RmsNorm(scale):
                self._note(scale, axis)
            case Attention():
                return self._attention(layer, axis)
            case Positions(table):
                self._note(table, *[None] * (len(table.shape) - 1), axis)
            case Embed(words, positions, types):
                axis = Axis(words.shape[1], fixed=True)
                for looked_up in (words, positions, types):
                    self._note(looked_up, None, axis)
            case Flatten() if prod(shape[1:]) > 1:
                self._fix(axis)
                return Axis(prod(shape), fixed=True)
            case Join(_, branches):
                return reduce(self._same, [self._through(branch, axis, shape) for branch in branches])
            case LayerSelect():
                for block in layer.selected:
                    axis, shape = self._through(block, axis, shape), output_shape(block, shape)
        return axis

    def _conv(self, layer: Conv, axis: Axis) -> Axis:
        out = axis if layer.groups > 1 else Axis(layer.weight.shape[0])
        self._note(layer.weight, out, None if layer.groups > 1 else axis, None, None)
        self._note(layer.bias, out)
        return out

    def _linear(self, layer: Linear, axis: Axis) -> Axis:
        out = Axis(layer.weight.shape[0])
        self._note(layer.weight, out, axis)
        self._note(layer.bias, out)
        return out

    def _attention(self, layer: Attention, axis: Axis) -> Axis:
        length, shares = layer.query.weight.shape[0], layer.key_heads != layer.heads
        heads = Axis(layer.heads, length // layer.heads, fixed=shares)
        served = Axis(layer.key.weight.shape[0], fixed=True) if shares else heads
        for projection, out in ((layer.query, heads), (layer.key, served), (layer.value, served)):
            self._note(projection.weight, out, axis)
            self._note(projection.bias, out)
        after = Axis(layer.out.weight.shape[0])
        self._note(layer.out.weight, after, heads)
        self._note(layer.out.bias, after)
        return after

    def _note(self, weight: Weight | None, *axes: Axis | None) -> None:
        if weight is None:
            return
        if len(weight.shape) != len(axes) or any(axis and axis.length != size for axis, size in zip(axes, weight.shape, strict=True)):
            wanted = [axis.length if axis else "any" for axis in axes]
            raise BadOption(
                f"{weight.slices[0].parameter} has the shape {list(weight.shape)}, not {wanted}", hint="layers have to fit together"
            )
        if isinstance(weight, WeightSlice):
            self.of[weight] = axes
            return
        self._fix(*filter(None, axes))
        self.of |= {each: (None,) * len(each.shape) for each in weight.slices}

    def _same(self, one: Axis, other: Axis) -> Axis:
        one, other = one.root, other.root
        if one is other:
            return one
        if one.length != other.length:
            raise BadOption(f"branches with {one.length} and {other.length} channels meet", hint="branches that meet have as many channels")
        one.of, other.fixed = other, one.fixed or other.fixed or one.unit != other.unit
        return other

    def _fix(self, *axes: Axis) -> None:
        for axis in axes:
            axis.root.fixed = True


def narrow(plan: Plan, shape: Shape, fraction: float) -> Plan:
    """A block with a fraction of its inner channels, heads and neurons; `shape` is that of its input."""
    return plan if fraction == 1 else _replaced(plan, Axes(plan, shape).cut(fraction))


ROWS: Final = Linear | LayerNorm | RmsNorm | Positions | Attention
"""Layers over the last dimension, which holds no channels of images."""


def _channels(shape: Shape) -> int:
    """Which dimension holds the channels of images, or the width of rows and vectors."""
    return 0 if len(shape) == 3 else -1


def _replaced(value: Any, cut: Callable[[WeightSlice], WeightSlice]) -> Any:
    """The same layers over other slices; counts of groups and heads follow."""
    if isinstance(value, WeightSlice):
        return cut(value)
    if isinstance(value, tuple):
        return tuple(_replaced(each, cut) for each in value)
    if not hasattr(value, "__dataclass_fields__"):
        return value
    new = replace(value, **{f.name: _replaced(getattr(value, f.name), cut) for f in fields(value)})
    match value, new:
        case Conv(groups=groups), Conv() if groups > 1:
            return replace(new, groups=new.weight.shape[0])
        case Attention(), Attention() if value.heads == value.key_heads:
            heads = new.query.weight.shape[0] * value.heads // value.query.weight.shape[0]
            return replace(new, heads=heads, key_heads=heads)
    return new


def changes_shape(plan: Plan, shape: Shape) -> bool:
    """Whether a block cannot be left out."""
    return output_shape(plan, shape) != shape


def residual(blocks: Iterable[Plan]) -> bool:
    """Whether any of the blocks adds something to a shortcut, as bottlenecks and transformer layers do."""
    return any(isinstance(layer, Join) and layer.kind == "add" for block in blocks for layer in block)
