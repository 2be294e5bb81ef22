"""How the nodes of a graph get at the weights of a subnet: as constants of its own, or as slices of shared ones."""

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Protocol

import numpy as np
from torch import Tensor

from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.layers import Plan, TransformedKernel, Weight, WeightSlice
from superserve_cli.supernet.onnx.columns import Rows
from superserve_cli.supernet.onnx.entries import Entries
from superserve_cli.supernet.onnx.graph import DOMAIN, Array, Graph


class Weights(Protocol):
    """Gives the value of a weight in a graph; transposed: a matrix (in, out)."""

    def value(self, rows: Rows[Weight], transposed: bool = False) -> str:
        """Its name."""
        ...


class Fixed:
    """The weights of one subnet, each a constant that holds nothing else."""

    def __init__(self, graph: Graph, weights: Mapping[str, Tensor]) -> None:
        self.graph, self.weights = graph, weights
        self._named: dict[tuple[Weight, bool], str] = {}

    def array(self, weight: Weight) -> Array:
        """The numbers themselves."""
        return _numbers(weight.of(self.weights))

    def value(self, rows: Rows[Weight], transposed: bool = False) -> str:
        """Its name."""
        (weight,) = rows.values()
        if (weight, transposed) not in self._named:
            name = f"{parameter(weight)}{'.T' * transposed}"
            numbers = np.ascontiguousarray(self.array(weight).T) if transposed else self.array(weight)
            self._named[weight, transposed] = self.graph.array(self.graph.name(name) if name in self.graph.arrays else name, numbers)
        return self._named[weight, transposed]


class Sliced:
    """The weights of many subnets, sliced out of the shared ones when the graph runs."""

    def __init__(self, graph: Graph, entries: Entries, weights: Mapping[str, Tensor], rows: Iterable[Plan]) -> None:
        self.graph, self.entries, self.weights = graph, entries, weights
        self.used = _largest(rows)

    def value(self, rows: Rows[Weight], transposed: bool = False) -> str:
        """Its name."""
        if any(isinstance(weight, TransformedKernel) for weight in rows.values()):
            return self._transformed({row: weight for row, weight in rows.items() if isinstance(weight, TransformedKernel)})
        return self._slice({row: weight for row, weight in rows.items() if isinstance(weight, WeightSlice)}, transposed)

    def _transformed(self, rows: Rows[TransformedKernel]) -> str:
        some = next(iter(rows.values()))
        side = some.source.shape[-1]
        kernel = self._slice({row: weight.source for row, weight in rows.items()})
        for i, matrix in enumerate(some.matrices):
            smaller = round(matrix.shape[0] ** 0.5)
            cut = (side - smaller) // 2
            centre = self.graph.op("Slice", kernel, *map(self.graph.constant, ([cut] * 2, [cut + smaller] * 2, [2, 3])))
            flat = self.graph.op("Reshape", centre, self.graph.constant([-1, smaller * smaller]))
            changed = self.graph.op("Gemm", flat, self._slice({row: weight.matrices[i] for row, weight in rows.items()}), transB=1)
            kernel = self.graph.op("Reshape", changed, self.graph.constant([-1, 1, smaller, smaller]))
            side = smaller
        return kernel

    def _slice(self, rows: Rows[WeightSlice], transposed: bool = False) -> str:
        name = next(iter(rows.values())).parameter
        whole = self._whole(name, transposed)
        sides = self.used[name][::-1] if transposed else self.used[name]
        ranges = {row: used.ranges[::-1] if transposed else used.ranges for row, used in rows.items()}
        axes = [axis for axis, side in enumerate(sides) if any(own[axis] != range(side) for own in ranges.values())]
        if not axes:
            return whole
        starts, ends = ([{row: getattr(own[axis], end) for row, own in ranges.items()} for axis in axes] for end in ("start", "stop"))
        parts = [self.entries.vector(starts), self.entries.vector(ends), self.graph.constant(axes)]
        steps = [{row: own[axis].step for row, own in ranges.items()} for axis in axes]
        if all(step == 1 for values in steps for step in values.values()):
            return self.graph.op("WeightSlice", whole, *parts, domain=DOMAIN)
        return self.graph.op("Slice", whole, *parts, self.entries.vector(steps))

    def _whole(self, name: str, transposed: bool) -> str:
        if (called := f"{name}{'.T' * transposed}") not in self.graph.arrays:
            numbers = _numbers(self.weights[name][tuple(map(slice, self.used[name]))])
            self.graph.array(called, np.ascontiguousarray(numbers.T) if transposed else numbers)
        return called


def parameter(weight: Weight) -> str:
    """The shared parameter that a weight comes from."""
    return weight.parameter if isinstance(weight, WeightSlice) else weight.source.parameter


def _numbers(view: Tensor) -> Array:
    return np.ascontiguousarray(view.detach().cpu().float().numpy())


def _largest(rows: Iterable[Plan]) -> dict[str, tuple[int, ...]]:
    """How much of each parameter the subnets use: a prefix of each dimension."""
    found: dict[str, tuple[int, ...]] = {}
    for plan in rows:
        for used in plans.slices(plan):
            ends = (max(own) + 1 for own in used.ranges)
            found[used.parameter] = tuple(map(max, found.get(used.parameter, tuple(repeat(0, len(used.ranges)))), ends))
    return found
