"""From a graph of calls to a plan: a chain of layers, with joins where paths meet.

The paths that meet at an addition or multiplication part at its nearest common dominator: what lies between is a Join, and each of
its branches is read the same way. What has paths that cross is not of this form, and is refused.
"""

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, fx, nn

from superserve_cli.supernet.insertion import constants
from superserve_cli.supernet.insertion.functions import JOINS, call
from superserve_cli.supernet.insertion.graph import SCOPE, Graph, joined, trace
from superserve_cli.supernet.insertion.modules import layers, transformer_blocks, unsupported
from superserve_cli.supernet.layers import Join, Layer, Plan, Positions, Sequence


@dataclass(frozen=True, eq=False)
class Step:
    """Part of a chain: what it is called, what it computes, and what the module itself yields there for the example.

    `inner` are the steps of a block, `branches` those of a join; `padding` is the word that its attention masks out.
    """

    name: str
    layers: Plan
    value: Tensor
    inner: tuple["Step", ...] = ()
    branches: tuple[tuple["Step", ...], ...] = ()
    padding: int | None = None


Blocks = Mapping[nn.Module, str]
"""The modules that are blocks, with their paths: each is read on its own, and one step of the chain around it."""
TRANSPOSES: Final = ("transpose", torch.transpose)
FLATTENS: Final = ("flatten", torch.flatten)


class Mask(NamedTuple):
    """Which words of the example are padding: those that are `word`."""

    word: int
    places: Tensor


def read(module: nn.Module, path: str, blocks: Blocks, x: Tensor, mask: Mask | None = None) -> tuple[Step, ...]:
    """The steps of a module, called with x; `mask` is what layers of PyTorch's transformers are called with."""
    if type(module) is nn.TransformerEncoder:
        return _encoder(module, path, blocks, x, mask)
    if fx.Tracer().is_leaf_module(module, path):
        masked = {"src_key_padding_mask": mask.places} if mask and type(module) is nn.TransformerEncoderLayer else {}
        with torch.no_grad():
            return (Step(path, layers(module, path), module(x.clone(), **masked), padding=mask.word if mask and masked else None),)
    graph = trace(module, path, lambda m: m in blocks and m is not module, (x,))
    return _Reader(graph, blocks).steps()


def _encoder(module: nn.TransformerEncoder, path: str, blocks: Blocks, x: Tensor, mask: Mask | None) -> tuple[Step, ...]:
    steps: list[Step] = []
    for name, layer in transformer_blocks(module):
        inner = read(layer, joined(path, name), blocks, x, mask)
        x = inner[-1].value
        steps.append(Step(joined(path, name), together(inner), x, inner))
    return tuple(steps)


def together(steps: tuple[Step, ...]) -> Plan:
    """The layers of a chain."""
    return tuple(layer for step in steps for layer in step.layers)


class _Reader:
    """Reads one graph; every call is read once."""

    def __init__(self, graph: Graph, blocks: Blocks) -> None:
        self.graph, self.blocks = graph, blocks
        self.masks = _masks(graph)
        self.data = _data(graph, self.masks.keys())
        self.top = _dominators(graph, self.data)
        self.read: set[fx.Node] = set()

    def steps(self) -> tuple[Step, ...]:
        """The whole chain from what comes in to what goes out."""
        if self.graph.output not in self.data:
            raise unsupported(self.graph.path or "the module", "what it returns does not depend on what it takes")
        return self._chain(self.graph.output, self.graph.input)

    def _chain(self, last: fx.Node, first: fx.Node) -> tuple[Step, ...]:
        """The steps after `first` up to `last`, which it dominates."""
        found: list[tuple[Step, ...]] = []
        node = last
        while node is not first:
            if node in self.read:
                raise unsupported(
                    self.graph.where(node), f"paths through {node.name} cross", "additions and multiplications have to be nested"
                )
            self.read.add(node)
            steps, node = self._step(node)
            found.append(steps)
        return tuple(step for steps in reversed(found) for step in steps)

    def _step(self, node: fx.Node) -> tuple[tuple[Step, ...], fx.Node]:
        """What leads to a node, and the node where that begins."""
        inputs = self._inputs(node)
        if len(inputs) == 2 and node.target in JOINS and node.op != "call_module":
            return self._join(node, inputs)
        if len({*inputs}) != 1:
            raise unsupported(
                self.graph.where(node),
                f"{self._called(node)} takes {len(inputs)} tensors",
                "add and mul do; all else takes one, and no masks",
            )
        before = inputs[0]
        if node.target in TRANSPOSES and before.target in FLATTENS and self._tokens(node, before):
            self.read.add(before)
            return (self._made(node, (Sequence(),)),), self._inputs(before)[0]
        if node.op == "call_module":
            return self._module(node, before), before
        return (self._made(node, self._function(node)),), before

    def _join(self, node: fx.Node, inputs: list[fx.Node]) -> tuple[tuple[Step, ...], fx.Node]:
        top = self.top[node]
        if node.kwargs.get("alpha", 1) != 1:
            raise unsupported(self.graph.where(node), "an addition with alpha is not supported")
        branches = tuple(self._chain(each, top) for each in inputs)
        kind: Any = JOINS[node.target]
        return (replace(self._made(node, (Join(kind, tuple(map(together, branches))),)), branches=branches),), top

    def _made(self, node: fx.Node, made: Plan) -> Step:
        scope = joined(self.graph.path, node.meta[SCOPE])
        return Step(f"{self._called(node)} in {scope or 'forward'}", made, self.graph.values[node])

    def _module(self, node: fx.Node, before: fx.Node) -> tuple[Step, ...]:
        module = self.graph.module.get_submodule(str(node.target))
        path, x = joined(self.graph.path, str(node.target)), self.graph.values[before]
        if type(module) is nn.MultiheadAttention:
            self._attends_to_itself(node, path)
            return (Step(path, layers(module, path), self.graph.values[node][0]),)
        mask = self._mask(node, module)
        if type(module) is nn.TransformerEncoder:
            return _encoder(module, path, self.blocks, x, mask)
        inner = read(module, path, self.blocks, x, mask)
        return (Step(path, together(inner), self.graph.values[node], inner),) if module in self.blocks else inner

    def _mask(self, node: fx.Node, module: nn.Module) -> Mask | None:
        """The mask of padding that a layer of PyTorch's transformers is called with; refuses every other argument but x."""
        mask = node.kwargs.get("src_key_padding_mask")
        others = [value for name, value in self.graph.given(node)[1].items() if name != "src_key_padding_mask" or mask not in self.masks]
        if len(node.args) != 1 or any(value is not None and value is not False for value in others):
            hint = "a mask of padding is src_key_padding_mask=words == 0, of what the model is called with; no others are supported"
            raise unsupported(self.graph.where(node), f"{type(module).__name__} is called with more than x", hint)
        return Mask(self.masks[mask], self.graph.values[mask]) if isinstance(mask, fx.Node) else None

    def _attends_to_itself(self, node: fx.Node, path: str) -> None:
        args, kwargs = self.graph.given(node)
        if len(args) + len(kwargs.keys() & {"query", "key", "value"}) != 3 or any(
            value is not None and value is not False
            for name, value in kwargs.items()
            if name not in {"need_weights", "query", "key", "value"}
        ):
            raise unsupported(path, "MultiheadAttention is called with a mask", "call it as attention(x, x, x, need_weights=False)")

    def _function(self, node: fx.Node) -> Plan:
        """What a call of a function or method of one tensor computes."""
        where, (args, kwargs) = self.graph.where(node), self.graph.given(node)
        if node.target is operator.getitem and isinstance(args[0], tuple):
            if args[1] != 0:
                raise unsupported(where, "the weights of attention are used", "only what attention yields is supported")
            return ()
        if node.target in JOINS and JOINS[node.target] == "add":
            return (self._positions(node, where),)
        if node.target in JOINS and sum(isinstance(arg, Tensor) for arg in args) == 2:
            raise unsupported(where, "a multiplication with a parameter is not supported", "with a number or another activation it is")
        return call(node.target, where, args, kwargs)

    def _positions(self, node: fx.Node, where: str) -> Layer:
        """An addition of something that does not depend on the input: rows of a parameter, one per place of a sequence."""
        (other,) = [arg for arg in node.args if arg not in self.data] or [None]
        table = constants.rows(self.graph, other) if isinstance(other, fx.Node) else None
        if table is None or tuple(self.graph.values[node].shape[-2:]) != table.shape[-2:]:
            raise unsupported(
                where,
                f"{self._called(node)} of something that is no activation is not supported",
                "rows of a parameter, one per place, are",
            )
        return Positions(table)

    def _tokens(self, transpose: fx.Node, flatten: fx.Node) -> bool:
        """Whether two calls make rows of tokens of images."""
        shape = self.graph.values[self._inputs(flatten)[0]].shape
        n, c = shape[:2]
        return (
            len(shape) == 4
            and tuple(self.graph.values[flatten].shape) == (n, c, shape[2:].numel())
            and tuple(self.graph.values[transpose].shape) == (n, shape[2:].numel(), c)
        )

    def _called(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return type(self.graph.module.get_submodule(str(node.target))).__name__
        return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))

    def _inputs(self, node: fx.Node) -> list[fx.Node]:
        """The activations that a call takes, with repetitions."""
        found: list[fx.Node] = []
        fx.node.map_arg((node.args, node.kwargs), found.append)
        return [each for each in found if each in self.data]


def _masks(graph: Graph) -> dict[fx.Node, int]:
    """The calls that compare the words that come in with one of them, and that word."""
    equal = (operator.eq, torch.eq, "eq")
    compared = {node: node.args for node in graph.nodes if node.target in equal and len(node.args) == 2}
    return {node: word for node, (words, word) in compared.items() if words is graph.input and type(word) is int}


def _data(graph: Graph, masks: Collection[fx.Node]) -> set[fx.Node]:
    """The calls that yield activations: tensors made from what comes in, and not only from its shape."""
    found = {graph.input}
    for node in graph.nodes:
        value = graph.values[node]
        tensor = isinstance(value, Tensor) or (isinstance(value, tuple) and bool(value) and isinstance(value[0], Tensor))
        if tensor and node.op != "output" and node not in masks and any(each in found for each in node.all_input_nodes):
            found.add(node)
    return found


def _dominators(graph: Graph, data: set[fx.Node]) -> dict[fx.Node, fx.Node]:
    """For each activation but the first the nearest one that lies on all paths to it (Cooper, Harvey & Kennedy, 2001)."""
    depth = {graph.input: 0}
    top: dict[fx.Node, fx.Node] = {}

    def common(a: fx.Node, b: fx.Node) -> fx.Node:
        while a is not b:
            a, b = (top[a], b) if depth[a] >= depth[b] else (a, top[b])
        return a

    for node in graph.nodes:
        if node in data and node is not graph.input:
            top[node] = reduce(common, (each for each in node.all_input_nodes if each in data))
            depth[node] = depth[top[node]] + 1
    return top
