"""A module's forward pass as a graph of calls (torch.fx), with what each call yields for an example."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from superserve_cli.errors import BadOption

FAILURES: Final = (TraceError, RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError, NotImplementedError)
"""What a user's forward may raise when it is given a stand-in for a tensor, or an example that it does not expect."""
SCOPE: Final = "scope"


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of one module in order, and the value that each yields for an example, as it was before anybody changed it in place."""

    path: str
    module: nn.Module
    nodes: tuple[fx.Node, ...]
    values: Mapping[fx.Node, Any]

    @property
    def output(self) -> fx.Node:
        """What the module returns; raises BadOption unless it is one tensor."""
        returned = self.nodes[-1].args[0]
        if not isinstance(returned, fx.Node) or not isinstance(self.values[returned], Tensor):
            raise BadOption(
                f"{self.path or 'the module'} returns something else than one tensor", hint="wrap it in a module that returns logits"
            )
        return returned

    @property
    def input(self) -> fx.Node:
        """The one tensor that the module is called with; raises BadOption for a module that takes more."""
        given = [node for node in self.nodes if node.op == "placeholder"]
        if used := [node for node in given[1:] if node.users and isinstance(self.values[node], Tensor)]:
            raise BadOption(
                f"{self.path or 'the module'} takes a second tensor, {used[0].target}", hint="one tensor comes in, one goes out"
            )
        return given[0]

    def where(self, node: fx.Node) -> str:
        """The module path that a message names: of the module called, or of the one that calls a function."""
        scope = joined(self.path, node.meta.get(SCOPE, ""))
        return joined(self.path, str(node.target)) if node.op == "call_module" else scope or "the module's forward"

    def given(self, node: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call, with the values of the example."""
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self.values.__getitem__)
        return tuple(args), dict(kwargs)


def joined(path: str, name: str) -> str:
    """The path of a module within another."""
    return ".".join(part for part in (path, name) if part)


def trace(module: nn.Module, path: str, leaves: Callable[[nn.Module], bool], example: tuple[Tensor, ...]) -> Graph:
    """The graph of a module in evaluation mode; raises BadOption where its control flow depends on data.

    `leaves` tells the modules whose calls stay whole; those of PyTorch's own do, except Sequential and alike.
    """
    tracer = _Tracer(leaves)
    with _left_alone(module):
        try:
            graph = tracer.trace(module)
        except FAILURES as error:
            where = joined(path, tracer.within) or "the module's forward"
            hint = "what runs may not depend on the data: no `if`, loop or len() on tensors"
            raise BadOption(f"{where} cannot be traced: {_line(error)}", hint=hint) from error
        values = _Values(fx.GraphModule(module, graph, type(module).__name__))
        with torch.no_grad():
            values.run(*(each.clone() for each in example))
    return Graph(path, module, tuple(graph.nodes), {node: values.seen[node.name] for node in graph.nodes})


@contextmanager
def _left_alone(module: nn.Module) -> Iterator[None]:
    """Takes away what tracing, or a forward that remembers things, leaves on a module and those inside it."""
    before = [(vars(each), dict(vars(each))) for each in module.modules()]
    try:
        yield
    finally:
        for attributes, kept in before:
            attributes.clear()
            attributes.update(kept)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


class _Tracer(fx.Tracer):
    """Remembers in which module it is, even after a failure."""

    def __init__(self, leaves: Callable[[nn.Module], bool]) -> None:
        super().__init__(autowrap_functions=())
        self.proxy_buffer_attributes = True  # a table of places may be a buffer, cut to the length of the input
        self.leaves = leaves
        self.within = ""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self.leaves(m) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before, self.within = self.within, self.path_of_module(m)
        called = super().call_module(m, forward, args, kwargs)
        self.within = before
        return called

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[SCOPE] = self.within
        return node


class _Values(fx.Interpreter):
    """Runs a graph, and keeps what each call yields. Modules are called as users call them: with their hooks."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.seen: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        self.seen[n.name] = found.clone() if isinstance(found, Tensor) else found
        return found
