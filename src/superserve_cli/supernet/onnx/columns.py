"""The plans of several subnets side by side: they have the same layers in the same places, with other extents.

A row is a subnet, a column what stands at one place of each plan. Where plans differ in more than extents, in what ONNX
has as attributes of nodes (the groups of a convolution, its kernel), `difference` says by which number they can be told apart.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.layers import (
    Attention,
    Conv,
    Embed,
    Join,
    Layer,
    LayerNorm,
    LayerSelect,
    Linear,
    Norm,
    Plan,
    Positions,
    Resize,
    RmsNorm,
    TransformedKernel,
    Weight,
)
from superserve_cli.supernet.plan import Shape

T = TypeVar("T")
Rows = Mapping[int, T]
"""Something of each of several subnets."""


@dataclass(frozen=True, slots=True)
class Normed:
    """A convolution and the SubnetNorm layer right after it, which can be computed as one."""

    conv: Conv
    norm: Norm


Unit = Layer | Normed


def units(plan: Plan) -> tuple[Unit, ...]:
    """The layers of a plan, normalised convolutions as one."""
    found: list[Unit] = []
    for layer in plan:
        match layer:
            case Norm() if found and isinstance(before := found[-1], Conv):
                found[-1] = Normed(before, layer)
            case _:
                found.append(layer)
    return tuple(found)


def aligned(rows: Rows[Plan], shapes: Rows[Shape]) -> Iterator[tuple[Rows[Unit], Rows[Shape]]]:
    """What stands at each place of the plans, with the shapes of its inputs.

    Where some plans resize and others do not, those resize to the size that they have.
    """
    rest = {row: [*units(plan)] for row, plan in rows.items()}
    while any(rest.values()):
        resized = any(left and isinstance(left[0], Resize) for left in rest.values())
        if not resized and len(kinds := {type(left[0]) if left else None for left in rest.values()}) > 1:
            raise TypeError(f"plans differ in more than extents: {kinds}")
        column = {row: _next(left, shapes[row], resized) for row, left in rest.items()}
        yield column, shapes
        shapes = {row: shape_after(column[row], shapes[row]) for row in rows}


def _next(left: list[Unit], shape: Shape, resized: bool) -> Unit:
    if resized and not (left and isinstance(left[0], Resize)):
        return Resize(shape[-1])
    return left.pop(0)


def shape_after(unit: Unit, shape: Shape) -> Shape:
    """The shape of what a unit yields."""
    return plans.output_shape((unit.conv if isinstance(unit, Normed) else unit,), shape)


def difference(column: Rows[Unit]) -> Rows[int] | None:
    """A number by which subnets whose nodes differ here can be told apart, or None where one node does for all."""
    for trait in zip(*map(_traits, column.values()), strict=True):
        if len(distinct := list(dict.fromkeys(trait))) > 1:
            numbers = all(isinstance(value, int) for value in distinct)
            return {
                row: value if numbers and isinstance(value, int) else distinct.index(value)
                for row, value in zip(column, trait, strict=True)
            }
    return None


def _traits(unit: Unit) -> tuple[Hashable, ...]:  # noqa: PLR0911  # one line per kind of layer
    """What of a layer has to be the same where one ONNX node stands for it."""
    match unit:
        case Normed(conv):
            return _traits(conv)
        case Conv(weight, stride, _, groups):
            return weight.shape[-1], groups, stride, unit.pad, _names(unit)
        case Attention():
            return unit.query.weight.shape[0] // unit.heads, unit.heads // unit.key_heads, unit.causal, unit.rotary, _names(unit)
        case Embed():
            return unit.padding, _names(unit)
        case Linear() | Positions():
            return (_names(unit),)
        case LayerNorm() | RmsNorm():
            return unit.epsilon, _names(unit)
        case Join(kind, branches):
            return kind, tuple(_kinds(branch) for branch in branches)
        case LayerSelect(blocks):
            return (len(blocks),)
        case Norm() | Resize():
            return ()
        case _:
            return (unit,)


def _kinds(plan: Plan) -> Hashable:
    """What kinds of layers there are, one after the other: a shortcut may be a convolution in some subnets and nothing in others."""
    return tuple(type(unit) for unit in units(plan) if not isinstance(unit, Resize))


def _names(layer: Layer) -> Hashable:
    return tuple(_name(weight) for weight in plans.weights(layer))


def _name(weight: Weight) -> Hashable:
    if isinstance(weight, TransformedKernel):
        return tuple(used.parameter for used in weight.slices)
    return weight.parameter
