"""Convolutions and SubnetNorm as nodes: folded into constants where one subnet is written, sliced and scaled where many are."""

from math import prod
from typing import Final, Protocol

from superserve_cli.supernet.layers import Conv, Norm
from superserve_cli.supernet.onnx.columns import Normed, Rows
from superserve_cli.supernet.onnx.graph import DOMAIN, Graph
from superserve_cli.supernet.onnx.slices import Fixed, Sliced, Weights, parameter
from superserve_cli.supernet.onnx.statistics import Affine, Folding, Table


def convolve(graph: Graph, layer: Conv, x: str, weight: str, *bias: str) -> str:
    """One convolution with weights that are there already."""
    side = layer.weight.shape[-1]
    return graph.op("Conv", x, weight, *bias, kernel_shape=[side] * 2, strides=[layer.stride] * 2, pads=[layer.pad] * 4, group=layer.groups)


class Normalizer(Protocol):
    """Makes the nodes of convolutions and of SubnetNorm layers; `shared`: of many subnets."""

    @property
    def shared(self) -> bool:
        """Whether the nodes stand for many subnets."""
        ...

    def convolve(self, column: Rows[Normed], x: str, places: int) -> str:
        """A convolution that is normalised; its output has `places` places per channel."""
        ...

    def normalize(self, column: Rows[Norm], x: str) -> str:
        """A SubnetNorm layer that comes after something else."""
        ...

    def plain(self, column: Rows[Conv], x: str) -> str:
        """A convolution that is not normalised."""
        ...


class Plainly:
    """A convolution with its own bias."""

    graph: Graph
    weights: Weights

    def plain(self, column: Rows[Conv], x: str) -> str:
        """A convolution that is not normalised."""
        biases = {row: layer.bias for row, layer in column.items() if layer.bias}
        bias = (self.weights.value(biases),) if biases else ()
        weight = self.weights.value({row: layer.weight for row, layer in column.items()})
        return convolve(self.graph, next(iter(column.values())), x, weight, *bias)


class Constant(Plainly):
    """One subnet: factors and offsets go into the weights and the bias of the convolution before."""

    shared: Final = False

    def __init__(self, graph: Graph, weights: Fixed, folding: Folding) -> None:
        self.graph, self.weights, self.fixed, self.folding = graph, weights, weights, folding

    def convolve(self, column: Rows[Normed], x: str, places: int) -> str:
        """A convolution that is normalised."""
        ((row, unit),) = column.items()
        own = self.folding.next({row: unit.norm}, {row: unit.conv.bias})[row]
        name = parameter(unit.conv.weight)
        weight = self.graph.array(name, self.fixed.array(unit.conv.weight) * own.factor[:, None, None, None])
        return convolve(self.graph, unit.conv, x, weight, self.graph.array(f"{name}.offset", own.offset))

    def normalize(self, column: Rows[Norm], x: str) -> str:
        """A SubnetNorm layer that comes after something else."""
        ((row, norm),) = column.items()
        own = self.folding.next({row: norm}, {row: None})[row]
        factor, offset = (
            self.graph.array(f"{norm.scale.parameter}.{what}", part[:, None, None])
            for what, part in zip(("factor", "offset"), own, strict=True)
        )
        return self.graph.op("Add", self.graph.op("Mul", x, factor), offset)


class Selected(Plainly):
    """Many subnets: factors and offsets come from tables, by the row of the subnet that runs.

    They are applied to the weights or to the outputs of a convolution, whichever are fewer for one input.
    """

    shared: Final = True

    def __init__(self, graph: Graph, weights: Sliced, folding: Folding) -> None:
        self.graph, self.weights, self.folding = graph, weights, folding
        self.factors, self.offsets = Table(graph, "factors", 2), Table(graph, "offsets", 2)
        self.weight_factors, self.biases = Table(graph, "weight_factors", 3), Table(graph, "biases", 0)

    def convolve(self, column: Rows[Normed], x: str, places: int) -> str:
        """A convolution that is normalised; its output has `places` places per channel."""
        convs = {row: unit.conv for row, unit in column.items()}
        own = self.folding.next({row: unit.norm for row, unit in column.items()}, {row: conv.bias for row, conv in convs.items()})
        weight, some = self.weights.value({row: conv.weight for row, conv in convs.items()}), next(iter(convs.values()))
        if max(prod(conv.weight.shape[1:]) for conv in convs.values()) > places:
            return self._norm(convolve(self.graph, some, x, weight), own)
        factor, offset = self._parts(own, self.weight_factors, self.biases)
        return convolve(self.graph, some, x, self.graph.op("Mul", weight, factor), offset)

    def normalize(self, column: Rows[Norm], x: str) -> str:
        """A SubnetNorm layer that comes after something else."""
        return self._norm(x, self.folding.next(column, dict.fromkeys(column)))

    def _norm(self, x: str, own: Rows[Affine]) -> str:
        return self.graph.op("SubnetNorm", x, *self._parts(own, self.factors, self.offsets), domain=DOMAIN)

    @staticmethod
    def _parts(own: Rows[Affine], factors: Table, offsets: Table) -> tuple[str, str]:
        factor = factors.add({row: affine.factor for row, affine in own.items()})
        return factor, offsets.add({row: affine.offset for row, affine in own.items()})

    def finish(self, rows: int) -> None:
        """Write the tables; `rows`: how many subnets there are."""
        for table in (self.factors, self.offsets, self.weight_factors, self.biases):
            table.finish(rows)
