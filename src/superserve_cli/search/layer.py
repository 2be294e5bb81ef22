"""A layer by its numbers, so that equal layers are measured once, wherever they stand and whatever their parameters are called."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import prod
from typing import Any

from superserve_cli.supernet.layers import Activation, Conv, Join, Layer, LayerSelect, Linear, Plan, TransformedKernel, WeightSlice
from superserve_cli.supernet.plan import Shape, layer_macs, output_shape, weights

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Work:
    """A layer and the shape of its input, as a table looks it up: `key` says all its numbers, `kind` what does not scale.

    `macs` are multiply-accumulates of one input; `moved` is the bytes of one input and output, `held` those of the weights.
    """

    key: str
    kind: str
    macs: int
    moved: int
    held: int
    layer: Layer
    shape: Shape


def works(plan: Plan, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Every layer that runs with the shape of its input, as `plan.walk`, and the sums and products of joins beside them.

    A join is given as one of empty branches: over their output, it computes what joins the real ones.
    """
    for layer in plan:
        match layer:
            case Join(kind, branches):
                for branch in branches:
                    yield from works(branch, shape)
                shape = output_shape((layer,), shape)
                yield Join(kind, ((),) * len(branches)), shape
            case LayerSelect():
                for block in layer.selected:
                    yield from works(block, shape)
                    shape = output_shape(block, shape)
            case _:
                yield layer, shape
                shape = output_shape((layer,), shape)


def work(layer: Layer, shape: Shape) -> Work:
    """What a table knows about a layer."""
    key = f"{_text(layer)} on {_numbers(shape)}"
    moved = FLOAT_BYTES * (prod(shape) + prod(output_shape((layer,), shape)))
    held = FLOAT_BYTES * sum(prod(weight.shape) for weight in weights(layer))
    return Work(key, _kind(layer), layer_macs(layer, shape), moved, held, layer, shape)


def _text(value: Any) -> str:
    """A layer, or a part of one, in words that say its numbers and no name of a parameter."""
    match value:
        case WeightSlice() | TransformedKernel():
            return _numbers(value.shape)
        case Activation(kind):
            return kind
        case Join(kind, branches):
            return f"{kind} of {len(branches)}"
        case Linear(weight, bias):
            return f"Linear {_numbers(weight.shape)}{' +' if bias else ''}"
        case None | bool() | int() | float() | str():
            return str(value)
        case _:
            parts = (f"{field.name}={_text(getattr(value, field.name))}" for field in fields(value))
            return " ".join((type(value).__name__, *parts))


def _numbers(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _kind(layer: Layer) -> str:
    match layer:
        case Conv(weight, stride, _, groups):
            return f"{'depthwise ' * (groups > 1)}conv {weight.shape[-1]} stride {stride}"
        case Activation() | Join():
            return _text(layer)
        case _:
            return type(layer).__name__
