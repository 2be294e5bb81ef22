"""Nodes of layers over sequences: embedding, attention, one vector per sequence."""

from math import sqrt
from typing import Final, NamedTuple

import numpy as np
import torch

from superserve_cli.supernet.attention import MASKED, turns
from superserve_cli.supernet.layers import Attention, Embed, Linear, TokenPool
from superserve_cli.supernet.onnx import elementwise
from superserve_cli.supernet.onnx.columns import Rows
from superserve_cli.supernet.onnx.graph import Graph
from superserve_cli.supernet.onnx.slices import Weights
from superserve_cli.supernet.plan import Shape

INPUT: Final = "input"


class Padding(NamedTuple):
    """Which words are none: `keep` (n, length) float32, 1 or 0, and `bias` (n, 1, 1, length) to add to attention scores."""

    keep: str
    bias: str


def padding_of(graph: Graph, padding: int, shape: Shape) -> Padding:
    """The mask of the graph's input (n, length) or (n, 2, length), worked out once."""
    with graph.prelude():
        is_word = graph.op("Not", graph.op("Equal", _plane(graph, INPUT, shape, 0), graph.constant(padding)))
        bias = graph.op("Where", is_word, graph.number(0), graph.number(MASKED))
        return Padding(graph.op("Cast", is_word, to=1), graph.op("Unsqueeze", bias, graph.constant([1, 2])))


def _plane(graph: Graph, x: str, shape: Shape, plane: int) -> str:
    return x if len(shape) == 1 else graph.op("Gather", x, graph.constant(plane), axis=1)


def embed(graph: Graph, weights: Weights, column: Rows[Embed], x: str, shape: Shape) -> str:
    """Words to vectors, (n, length) or (n, 2, length) to (n, length, width)."""
    y = graph.op("Gather", weights.value({row: layer.words for row, layer in column.items()}), _plane(graph, x, shape, 0))
    if types := {row: layer.types for row, layer in column.items() if layer.types}:
        table = weights.value(types)
        which = graph.constant(0) if len(shape) == 1 else _plane(graph, x, shape, 1)
        y = graph.op("Add", y, graph.op("Gather", table, which))
    if positions := {row: layer.positions for row, layer in column.items() if layer.positions}:
        y = graph.op("Add", y, _first(graph, weights.value(positions), shape[-1]))
    return y


def _first(graph: Graph, table: str, length: int) -> str:
    return graph.op("Slice", table, graph.constant([0]), graph.constant([length]), graph.constant([0]))


def project(graph: Graph, weights: Weights, column: Rows[Linear], x: str, rank: int) -> str:
    """X @ weight.T + bias; `rank` counts the dimensions of x without the batch."""
    matrices = {row: layer.weight for row, layer in column.items()}
    biases = {row: layer.bias for row, layer in column.items() if layer.bias}
    bias = (weights.value(biases),) if biases else ()
    if rank == 1:
        return graph.op("Gemm", x, weights.value(matrices), *bias, transB=1)
    y = graph.op("MatMul", x, weights.value(matrices, transposed=True))
    return graph.op("Add", y, *bias) if bias else y


def attend(graph: Graph, weights: Weights, column: Rows[Attention], x: str, length: int, padding: Padding | None) -> str:
    """(n, length, width) to the same shape. All layers of a column have heads of one size, and as many of them per key head."""
    some = next(iter(column.values()))
    size, repeats = some.query.weight.shape[0] // some.heads, some.heads // some.key_heads
    projections = [{row: layer.projections[i] for row, layer in column.items()} for i in range(4)]
    heads = [_heads(graph, project(graph, weights, projection, x, 2), size) for projection in projections[:3]]
    if some.rotary is not None:
        heads[:2] = _turned(graph, heads[:2], some.rotary, size, length)
    if repeats > 1:
        heads[1:] = (_repeated(graph, head, repeats, length, size) for head in heads[1:])
    query, key, value = heads
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    scores = graph.op("Mul", scores, graph.number(1 / sqrt(size)))
    for bias in _biases(graph, some.causal, length, padding):
        scores = graph.op("Add", scores, bias)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    flat = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), graph.constant([0, 0, -1]))
    return project(graph, weights, projections[3], flat, 2)


def _heads(graph: Graph, x: str, size: int) -> str:
    return graph.op("Transpose", graph.op("Reshape", x, graph.constant([0, 0, -1, size])), perm=[0, 2, 1, 3])


def _biases(graph: Graph, causal: bool, length: int, padding: Padding | None) -> list[str]:
    later = [graph.constant(np.triu(np.full((length, length), MASKED), 1), np.float32)] if causal else []
    return [*([padding.bias] if padding else []), *later]


def _turned(graph: Graph, heads: list[str], base: float, size: int, length: int) -> list[str]:
    """Queries and keys turned by their place (rotary embeddings)."""
    cos, sin = (graph.constant(part.numpy(), np.float32) for part in turns(base, size, length, torch.device("cpu"), torch.float32))
    start, middle, end = (graph.constant([at]) for at in (0, size // 2, size))
    turned = []
    for x in heads:
        one, other = (graph.op("Slice", x, *cut, graph.constant([3])) for cut in ((start, middle), (middle, end)))
        swapped = graph.op("Concat", graph.op("Neg", other), one, axis=3)
        turned.append(graph.op("Add", graph.op("Mul", x, cos), graph.op("Mul", swapped, sin)))
    return turned


def _repeated(graph: Graph, x: str, times: int, length: int, size: int) -> str:
    apart = graph.op("Unsqueeze", x, graph.constant([2]))
    each = graph.op("Expand", apart, graph.constant([1, 1, times, 1, 1]))
    return graph.op("Reshape", each, graph.constant([0, -1, length, size]))


def pool(graph: Graph, layer: TokenPool, x: str, length: int, padding: Padding | None) -> str:
    """(n, length, width) to (n, width)."""
    if layer.which == "first" or (layer.which == "last" and padding is None):
        return graph.op("Gather", x, graph.constant(0 if layer.which == "first" else length - 1), axis=1)
    if padding is None:
        return graph.op("Squeeze", elementwise.mean(graph, x, 1), graph.constant([1]))
    if layer.which == "last":
        places = graph.op("Mul", padding.keep, graph.constant(np.arange(length), np.float32))
        last = graph.op("ArgMax", places, axis=1, keepdims=1)
        return graph.op("GatherND", x, last, batch_dims=1)
    kept = graph.op("Mul", x, graph.op("Unsqueeze", padding.keep, graph.constant([2])))
    count = graph.op("Max", graph.op("ReduceSum", padding.keep, graph.constant([1]), keepdims=1), graph.constant(1, np.float32))
    return graph.op("Div", graph.op("ReduceSum", kept, graph.constant([1]), keepdims=0), count)
