"""SubnetNorm in graphs: what a subnet's statistics make of each channel, y = x * factor + offset, worked out ahead of time."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet.layers import Norm, WeightSlice
from superserve_cli.supernet.onnx.columns import Rows
from superserve_cli.supernet.onnx.graph import Array, Graph
from superserve_cli.supernet.supernet import SuperNet

SELECTED: Final = "subnet"
"""The graph input that says which row of the tables to take."""


class Affine(NamedTuple):
    """What normalises some channels: x * factor + offset; both (channels,) float32."""

    factor: Array
    offset: Array


class Folding:
    """Turns the SubnetNorm layers of some subnets into factors and offsets, one layer after the other in the order of their plans."""

    def __init__(self, net: SuperNet, subnets: Mapping[int, Subnet]) -> None:
        self.weights = net.weights
        self._statistics = {row: net.statistics[subnet] for row, subnet in subnets.items() if subnet in net.statistics}
        self._done = dict.fromkeys(subnets, 0)

    def next(self, rows: Rows[Norm], biases: Rows[WeightSlice | None]) -> Rows[Affine]:
        """Of the next layer, which comes after convolutions with these biases."""
        return {row: self._of(row, norm, biases[row]) for row, norm in rows.items()}

    def _of(self, row: int, norm: Norm, bias: WeightSlice | None) -> Affine:
        own, start = self._statistics[row], self._done[row]
        self._done[row] = end = start + norm.channels
        mean, variance = (part[start:end].double().cpu() for part in own)
        factor = self._exact(norm.scale) / torch.sqrt(variance + norm.epsilon)
        before = 0.0 if bias is None else self._exact(bias)
        return Affine(*(part.float().numpy() for part in (factor, self._exact(norm.shift) + (before - mean) * factor)))

    def _exact(self, used: WeightSlice) -> Tensor:
        return used.of(self.weights).detach().double().cpu()


class Table:
    """A matrix [subnets, channels] with the numbers of many SubnetNorm layers one after the other.

    One `Gather` takes a subnet's row, and one `Split` cuts it into what the layers need. Every part has `ones` more dimensions of
    size 1 than (channels,).
    """

    def __init__(self, graph: Graph, name: str, ones: int) -> None:
        self.graph, self.name, self.ones = graph, name, ones
        self.parts: list[tuple[str, Rows[Array]]] = []

    def add(self, values: Rows[Array]) -> str:
        """The value (channels, 1, ...) that a layer needs, whichever subnet runs."""
        self.parts.append((self.graph.name(self.name), values))
        return self.parts[-1][0]

    def finish(self, rows: int) -> None:
        """Write the nodes; `rows`: how many subnets there are."""
        if not self.parts:
            return
        lengths = np.asarray([list(self._lengths(row)) for row in range(rows)], np.int64)
        longest = lengths.sum(1).max()
        lengths = np.column_stack((lengths, longest - lengths.sum(1)))
        table = np.zeros((rows, longest, *[1] * self.ones), np.float32)
        for row in range(rows):
            own = [values[row] for _, values in self.parts if row in values]
            table[row, : sum(map(len, own))] = np.concatenate(own).reshape(-1, *[1] * self.ones) if own else 0
        with self.graph.prelude():
            taken = self.graph.op("Gather", self.graph.array(self.name, table), SELECTED)
            sizes = self.graph.op("Gather", self.graph.constant(lengths), SELECTED)
            self.graph.split(taken, sizes, [*(name for name, _ in self.parts), self.graph.name("rest")])

    def _lengths(self, row: int) -> Iterator[int]:
        for _, values in self.parts:
            yield len(values[row]) if row in values else 0
