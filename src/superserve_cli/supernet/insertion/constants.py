"""What a module adds to its activations without looking at them: rows of parameters, such as embeddings of places."""

import operator

import torch
from torch import Tensor, fx, nn

from superserve_cli.supernet.insertion.graph import Graph, joined
from superserve_cli.supernet.insertion.modules import whole
from superserve_cli.supernet.layers import WeightSlice


def rows(graph: Graph, node: fx.Node) -> WeightSlice | None:
    """The parameter, or the slice of one, that a call yields whatever comes in; None for anything else."""
    if node.op == "get_attr":
        return _registered(graph, str(node.target), graph.values[node])
    if node.op == "call_module":
        return _embedded(graph, node)
    if node.target is operator.getitem and isinstance(source := node.args[0], fx.Node):
        table, (_, index) = rows(graph, source), graph.given(node)[0]
        return None if table is None else _indexed(table, index)
    if node.target == "unsqueeze" and isinstance(source := node.args[0], fx.Node) and node.args[1] == 0:
        return rows(graph, source)
    return None


def _registered(graph: Graph, name: str, value: Tensor) -> WeightSlice | None:
    """A whole parameter or buffer; other tensors have no name to be kept by."""
    known = name in dict(graph.module.named_parameters()) or name in dict(graph.module.named_buffers())
    return WeightSlice.prefix(joined(graph.path, name), *value.shape) if known and value.dtype == torch.float32 else None


def _indexed(table: WeightSlice, index: object) -> WeightSlice | None:
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) > len(table.ranges) or not all(isinstance(part, slice) for part in parts):
        return None
    return WeightSlice(table.parameter, (*(r[part] for r, part in zip(table.ranges, parts, strict=False)), *table.ranges[len(parts) :]))


def _embedded(graph: Graph, node: fx.Node) -> WeightSlice | None:
    """The first rows of an embedding that looks up the numbers from 0."""
    module, (args, _) = graph.module.get_submodule(str(node.target)), graph.given(node)
    places = args[0]
    if (
        type(module) is not nn.Embedding
        or not isinstance(places, Tensor)
        or not torch.equal(places.flatten(), torch.arange(places.numel()))
    ):
        return None
    weight = whole(joined(graph.path, str(node.target)), "weight", module.weight)
    return WeightSlice(weight.parameter, (range(places.numel()), weight.ranges[1]))
