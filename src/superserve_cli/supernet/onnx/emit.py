"""From plans to nodes: one pass over the plans of one subnet, or of many side by side, makes the graph that computes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from math import prod
from typing import Any, TypeVar

from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.layers import (
    Attention,
    Conv,
    Embed,
    Join,
    LayerNorm,
    LayerSelect,
    Linear,
    Norm,
    Plan,
    Positions,
    Resize,
    RmsNorm,
    TokenPool,
    Weight,
)
from superserve_cli.supernet.onnx import elementwise, words
from superserve_cli.supernet.onnx.columns import Normed, Rows, Unit, aligned, difference, shape_after
from superserve_cli.supernet.onnx.entries import Entries
from superserve_cli.supernet.onnx.functions import lifted
from superserve_cli.supernet.onnx.graph import Graph
from superserve_cli.supernet.onnx.normalize import Normalizer
from superserve_cli.supernet.onnx.slices import Weights
from superserve_cli.supernet.onnx.words import Padding
from superserve_cli.supernet.plan import Shape

L = TypeVar("L")


@dataclass
class Emitter:
    """Makes the nodes of subnets side by side: what is alike in all of them once, what differs by the control inputs."""

    graph: Graph
    weights: Weights
    entries: Entries
    normalizer: Normalizer
    padding: Padding | None = None

    def network(self, rows: Rows[Plan], shape: Shape) -> str:
        """The nodes of whole plans; `shape` is that of their input. Returns what they yield."""
        tables = (layer for layer in next(iter(rows.values())) if isinstance(layer, Embed))
        if (table := next(tables, None)) and table.padding in range(table.words.shape[0]):
            self.padding = words.padding_of(self.graph, table.padding, shape)
        return self.plan(rows, words.INPUT, dict.fromkeys(rows, shape))

    def plan(self, rows: Rows[Plan], x: str, shapes: Rows[Shape]) -> str:
        """The nodes of plans over a value."""
        for column, before in aligned(rows, shapes):
            x = self.unit(column, x, before)
        return x

    def unit(self, column: Rows[Unit], x: str, shapes: Rows[Shape]) -> str:
        """The nodes of what stands in one place; where one node cannot stand for all, a branch for each kind."""
        numbers = difference(column)
        return self._alike(column, x, shapes) if numbers is None else self._by_number(numbers, column, x, shapes)

    def _by_number(self, numbers: Rows[int], column: Rows[Unit], x: str, shapes: Rows[Shape]) -> str:
        """A binary search for the number of the subnet that runs, and at each end the rows that have it."""
        distinct = sorted({numbers[row] for row in column})
        if len(distinct) == 1:
            return self.unit(column, x, shapes)
        bound = distinct[len(distinct) // 2]
        sides = [{row: unit for row, unit in column.items() if (numbers[row] < bound) is less} for less in (True, False)]
        then, otherwise = (partial(self._by_number, numbers, side, x, shapes) for side in sides)
        return self.graph.either(self.entries.below(numbers, bound), then, otherwise)

    def _alike(self, column: Rows[Unit], x: str, shapes: Rows[Shape]) -> str:  # noqa: PLR0911, PLR0912  # one line per kind of layer
        graph, shape = self.graph, next(shapes[row] for row in column)
        match some := next(iter(column.values())):
            case LayerSelect():
                return self._select(_of(column, LayerSelect), x, shapes)
            case Join():
                return self._join(_of(column, Join), x, shapes)
            case Normed():
                places = max(prod(shape_after(unit, shapes[row])[1:]) for row, unit in column.items())
                return self.normalizer.convolve(_of(column, Normed), x, places)
            case Norm():
                return self.normalizer.normalize(_of(column, Norm), x)
            case Conv():
                return self.normalizer.plain(_of(column, Conv), x)
            case Linear():
                return words.project(graph, self.weights, _of(column, Linear), x, len(shape))
            case LayerNorm(_, _, epsilon):
                return graph.op("LayerNormalization", x, *self._values(column), axis=-1, epsilon=epsilon)
            case RmsNorm(_, epsilon):
                square = elementwise.mean(graph, graph.op("Mul", x, x), -1)
                root = graph.op("Sqrt", graph.op("Add", square, graph.number(epsilon)))
                return graph.op("Mul", graph.op("Div", x, root), *self._values(column))
            case Positions():
                return graph.op("Add", x, *self._values(column))
            case Embed():
                return words.embed(graph, self.weights, _of(column, Embed), x, shape)
            case Attention():
                return words.attend(graph, self.weights, _of(column, Attention), x, shape[0], self.padding)
            case TokenPool():
                return words.pool(graph, some, x, shape[0], self.padding)
            case Resize():
                sides = {row: layer.side for row, layer in _of(column, Resize).items()}
                return elementwise.resize(graph, self.entries.vector([sides, sides]), x)
            case _:
                return elementwise.emit(graph, some, x, shape)

    def _values(self, column: Mapping[int, Any]) -> list[str]:
        """Every weight of a layer without options."""
        weights: list[tuple[Weight, ...]] = [plans.weights(layer) for layer in column.values()]
        return [self.weights.value(dict(zip(column, each, strict=True))) for each in zip(*weights, strict=True)]

    def _join(self, column: Rows[Join], x: str, shapes: Rows[Shape]) -> str:
        some = next(iter(column.values()))
        branches = [self.plan({row: join.branches[i] for row, join in column.items()}, x, shapes) for i in range(len(some.branches))]
        return reduce(partial(self.graph.op, "Mul" if some.kind == "mul" else "Add"), branches)

    def _select(self, column: Rows[LayerSelect], x: str, shapes: Rows[Shape]) -> str:
        blocks = len(next(iter(column.values())).blocks)
        conditions = self.entries.conditions({row: layer.kept for row, layer in column.items()}, blocks)
        now = {row: shapes[row] for row in column}
        for b in range(blocks):
            kept = {row: layer.blocks[b] for row, layer in column.items() if b in layer.kept}
            make = partial(self._block, kept, x, dict(now))
            if b in conditions:
                x = self.graph.either(conditions[b], make, partial(self.graph.op, "Identity", x))
            elif kept:
                x = make()
            now |= {row: plans.output_shape(block, now[row]) for row, block in kept.items()}
        return x

    def _block(self, rows: Rows[Plan], x: str, shapes: Rows[Shape]) -> str:
        return lifted(self.graph, partial(self.plan, rows, x, shapes)) if self.normalizer.shared else self.plan(rows, x, shapes)


def _of(column: Rows[Any], kind: type[L]) -> dict[int, L]:
    """The column itself, all of whose layers are of one kind."""
    return dict(column)
