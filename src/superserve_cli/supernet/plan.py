"""What one subnet computes, as data: folds over plans.

A family turns a point of its space into a plan (`layers`). Everything else is a fold over it: the program that runs it, the
parameters that it touches, its cost, its extraction, its calibration, its ONNX graph.
"""

from collections import defaultdict
from collections.abc import Generator, Iterator
from math import prod
from typing import cast

from superserve_cli.supernet import boxes
from superserve_cli.supernet.boxes import Box
from superserve_cli.supernet.layers import (
    Attention,
    AvgPool,
    Conv,
    Embed,
    Flatten,
    GlobalMean,
    Join,
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
    Sequence,
    TokenPool,
    Weight,
    WeightSlice,
)

Shape = tuple[int, ...]
"""Of one value without its batch dimension: (channels, height, width), (length, width), (width,)."""


def layers(plan: Plan) -> Iterator[Layer]:
    """Every layer that runs, in the order of its execution: branches one after the other, selected blocks only."""
    for layer in plan:
        match layer:
            case Join(_, branches):
                for branch in branches:
                    yield from layers(branch)
            case LayerSelect():
                for block in layer.selected:
                    yield from layers(block)
            case _:
                yield layer


def norms(plan: Plan) -> list[Norm]:
    """The SubnetNorm layers, in the order in which a subnet's statistics are kept."""
    return [layer for layer in layers(plan) if isinstance(layer, Norm)]


def weights(layer: Layer) -> tuple[Weight, ...]:
    """The parameters of one layer, in a fixed order; those of `Join` and `LayerSelect` belong to the layers inside."""
    match layer:
        case Conv(weight, _, bias) | Linear(weight, bias):
            found: tuple[Weight | None, ...] = (weight, bias)
        case Norm(scale, shift) | LayerNorm(scale, shift):
            found = (scale, shift)
        case RmsNorm(scale):
            found = (scale,)
        case Positions(table):
            found = (table,)
        case Embed(words, positions, types):
            found = (words, positions, types)
        case Attention():
            found = tuple(weight for projection in layer.projections for weight in weights(projection))
        case _:
            found = ()
    return tuple(weight for weight in found if weight is not None)


def slices(plan: Plan) -> list[WeightSlice]:
    """Every use of a shared parameter."""
    return [used for layer in layers(plan) for weight in weights(layer) for used in weight.slices]


def uses(plan: Plan) -> dict[str, tuple[Box, ...]]:
    """Which indices of each shared parameter a subnet uses: disjoint boxes, one where a single layer uses the parameter."""
    found: dict[str, list[Box]] = defaultdict(list)
    for used in slices(plan):
        found[used.parameter].append(used.ranges)
    return {parameter: boxes.union(each) for parameter, each in found.items()}


def params(plan: Plan) -> int:
    """How many numbers a subnet computes with: its share of the shared weights, and its own statistics."""
    return sum(map(boxes.size, uses(plan).values())) + 2 * sum(norm.channels for norm in norms(plan))


def walk(plan: Plan, shape: Shape) -> Generator[tuple[Layer, Shape], None, Shape]:
    """Every layer that runs, with the shape of its input; returns the shape of what the plan yields. `shape` is that of its input."""
    for layer in plan:
        match layer:
            case Join(_, branches):
                outs = []
                for branch in branches:
                    outs.append((yield from walk(branch, shape)))  # noqa: PERF401  # a comprehension cannot yield
                shape = max(outs, key=prod)
            case LayerSelect():
                for block in layer.selected:
                    shape = yield from walk(block, shape)
            case _:
                yield layer, shape
                shape = _after(layer, shape)
    return shape


def output_shape(plan: Plan, shape: Shape) -> Shape:
    """The shape of what a plan yields."""
    steps = walk(plan, shape)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("Shape", end.value)


def _after(layer: Layer, shape: Shape) -> Shape:  # noqa: PLR0911, PLR0912  # one line per kind of layer
    match layer:
        case Conv(weight, stride):
            return (weight.shape[0], *((side + 2 * layer.pad - weight.shape[-1]) // stride + 1 for side in shape[1:]))
        case MaxPool(size, stride, padding):
            return (shape[0], *((side + 2 * padding - size) // stride + 1 for side in shape[1:]))
        case AvgPool(size, ceil):
            return (shape[0], *(-(-side // size) if ceil else side // size for side in shape[1:]))
        case Resize(side):
            return (shape[0], side, side)
        case GlobalMean(keep):
            return (shape[0], 1, 1) if keep else shape[:1]
        case Flatten():
            return (prod(shape),)
        case Sequence():
            return (prod(shape[1:]), shape[0])
        case Embed(words):
            return (shape[-1], words.shape[1])
        case Linear(weight):
            return (*shape[:-1], weight.shape[0])
        case TokenPool():
            return shape[-1:]
        case Join(_, branches):
            return max((output_shape(branch, shape) for branch in branches), key=prod)
        case LayerSelect():
            for block in layer.selected:
                shape = output_shape(block, shape)
            return shape
        case _:
            return shape


def macs(plan: Plan, shape: Shape) -> int:
    """Multiply-accumulates of convolutions, linear layers and attention, for one input of a shape."""
    return sum(layer_macs(layer, before) for layer, before in walk(plan, shape))


def layer_macs(layer: Layer, shape: Shape) -> int:
    """Multiply-accumulates of one layer for an input of a shape."""
    match layer:
        case Conv(weight):
            return prod(_after(layer, shape)[1:]) * prod(weight.shape)
        case Linear(weight):
            return prod(shape[:-1]) * prod(weight.shape)
        case Attention():
            length = shape[0]
            mixing = 2 * length * length * layer.query.weight.shape[0]
            return mixing + sum(length * prod(projection.weight.shape) for projection in layer.projections)
        case _:
            return 0
