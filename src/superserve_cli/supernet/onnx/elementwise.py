"""Nodes of layers without parameters."""

from math import prod, sqrt
from typing import Final

import numpy as np

from superserve_cli.supernet.layers import Activation, AvgPool, Flatten, GlobalMean, MaxPool, Scale, Sequence, UnitLength
from superserve_cli.supernet.onnx.graph import Graph
from superserve_cli.supernet.plan import Shape

SHORTEST: Final = 1e-12
"""By which a shorter vector is divided, as torch's `normalize` does."""
Plain = Activation | Scale | AvgPool | MaxPool | GlobalMean | Flatten | Sequence | UnitLength


def emit(graph: Graph, layer: Plain, x: str, shape: Shape) -> str:  # noqa: PLR0911  # one line per kind of layer
    """What a layer makes of x, whose shape is given without the batch."""
    match layer:
        case Activation(kind):
            return activation(graph, kind, x)
        case Scale(factor):
            return graph.op("Mul", x, graph.number(factor))
        case AvgPool(size, ceil):
            return graph.op("AveragePool", x, kernel_shape=[size] * 2, strides=[size] * 2, ceil_mode=int(ceil), count_include_pad=0)
        case MaxPool(size, stride, padding):
            return graph.op("MaxPool", x, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[padding] * 4)
        case GlobalMean(keep):
            mean = graph.op("GlobalAveragePool", x)
            return mean if keep else graph.op("Flatten", mean)
        case Flatten():
            return graph.op("Flatten", x)
        case Sequence():
            flat = graph.op("Reshape", x, graph.constant([0, 0, prod(shape[1:])]))
            return graph.op("Transpose", flat, perm=[0, 2, 1])
        case UnitLength():
            length = graph.op("Sqrt", graph.op("ReduceSum", graph.op("Mul", x, x), graph.constant([-1]), keepdims=1))
            return graph.op("Div", x, graph.op("Max", length, graph.number(SHORTEST)))


def activation(graph: Graph, kind: str, x: str) -> str:  # noqa: PLR0911  # one line per kind
    """An elementwise function by name, of those in `layers.Activation`."""
    match kind:
        case "relu6":
            return graph.op("Clip", x, graph.number(0), graph.number(6))
        case "hard_swish":
            return graph.op("HardSwish", x)
        case "hard_sigmoid":
            return graph.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
        case "silu":
            return graph.op("Mul", x, graph.op("Sigmoid", x))
        case "gelu" if graph.opset >= 20:
            return graph.op("Gelu", x)
        case "gelu":
            half = graph.op("Mul", x, graph.number(0.5))
            return graph.op("Mul", half, graph.op("Add", graph.op("Erf", graph.op("Div", x, graph.number(sqrt(2)))), graph.number(1)))
        case _:
            return graph.op({"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}[kind], x)


def resize(graph: Graph, side: str, x: str) -> str:
    """Bilinear interpolation to (side, side), an int64 [2] value, as `align_corners=False` does."""
    shape = graph.op("Slice", graph.op("Shape", x), graph.constant([0]), graph.constant([2]))
    sizes = graph.op("Concat", shape, side, axis=0)
    none = graph.constant([], np.float32)
    return graph.op("Resize", x, none, none, sizes, mode="linear", coordinate_transformation_mode="half_pixel")


def mean(graph: Graph, x: str, axis: int) -> str:
    """The mean along one axis, which is kept with size 1."""
    if graph.opset >= 18:
        return graph.op("ReduceMean", x, graph.constant([axis]), keepdims=1)
    return graph.op("ReduceMean", x, axes=[axis], keepdims=1)
