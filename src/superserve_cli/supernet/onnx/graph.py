"""ONNX graphs, built node by node; values are known by name. Knows nothing of SuperNets."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, NodeProto, TensorProto, defs, helper

from superserve_cli.errors import BadOption

DOMAIN: Final = "superserve"
"""Of the functions that a whole SuperNet is built from."""
OLDEST_OPSET: Final = 13
NEWEST_OPSET: Final = min(21, defs.onnx_opset_version())
"""Which ONNX operator sets we write; ONNX Runtime reads all of them from version 1.18 on."""
NEEDS: Final = {"HardSwish": 14, "LayerNormalization": 17}
"""The opset that brought an operator, of those that are younger than the oldest that we write."""

Array = NDArray[Any]


def check_opset(opset: int) -> None:
    """Raises BadOption for an operator set that we do not write."""
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise BadOption(f"--opset is {opset}", hint=f"choose one from {OLDEST_OPSET} to {NEWEST_OPSET}")


class Graph:
    """Nodes in the order in which they are made. `arrays` are the constants by name; equal small ones are kept once.

    Nodes of the `prelude` run before all others, wherever they are made: what depends on the control inputs alone.
    """

    def __init__(self, opset: int) -> None:
        check_opset(opset)
        self.opset = opset
        self.arrays: dict[str, Array] = {}
        self.before: list[NodeProto] = []
        self.scopes: list[list[NodeProto]] = [[]]
        self.functions: dict[bytes, FunctionProto] = {}
        self._small: dict[tuple[object, ...], str] = {}
        self._taken: Counter[str] = Counter()

    def name(self, stem: str) -> str:
        """A name that no value has yet."""
        self._taken[stem] += 1
        return f"{stem}_{self._taken[stem]}"

    def op(self, kind: str, *inputs: str, domain: str = "", name: str = "", **attributes: Any) -> str:
        """Add a node with one output, which is returned; raises BadOption where the operator set lacks the operator."""
        if (needed := NEEDS.get(kind, 0)) > self.opset and not domain:
            raise BadOption(f"opset {self.opset} has no {kind}, which this model needs", hint=f"choose --opset {needed} or more")
        output = name or self.name(kind)
        self.scopes[-1].append(helper.make_node(kind, list(inputs), [output], domain=domain, **attributes))
        return output

    def split(self, x: str, lengths: str, names: Sequence[str]) -> None:
        """Add a node that cuts a value into parts along its first dimension."""
        self.scopes[-1].append(helper.make_node("Split", [x, lengths], list(names), axis=0))

    def array(self, name: str, array: Array) -> str:
        """A constant with a name of its own, once."""
        self.arrays.setdefault(name, array)
        return name

    def constant(self, value: object, dtype: type = np.int64) -> str:
        """A small constant."""
        array: Array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._small:
            self._small[key] = self.array(self.name("constant"), array)
        return self._small[key]

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(value, np.float32)

    def function(self, body: Sequence[NodeProto], inputs: int, output: str) -> str:
        """The name of the function with this body, over inputs `in0`, `in1`, ..; there is one for all that have the same."""
        key = b"".join(node.SerializeToString(deterministic=True) for node in body)
        if key not in self.functions:
            name = f"Block{len(self.functions) + 1}"
            domains = [helper.make_opsetid("", self.opset), helper.make_opsetid(DOMAIN, 1)]
            self.functions[key] = helper.make_function(DOMAIN, name, [f"in{i}" for i in range(inputs)], [output], body, domains)
        return str(self.functions[key].name)

    @contextmanager
    def scope(self) -> Iterator[list[NodeProto]]:
        """Collects the nodes that are made inside, and keeps them out of the graph."""
        self.scopes.append([])
        try:
            yield self.scopes[-1]
        finally:
            self.scopes.pop()

    @contextmanager
    def prelude(self) -> Iterator[None]:
        """What is made inside runs before all that is not."""
        self.scopes.append(self.before)
        try:
            yield
        finally:
            self.scopes.pop()

    def either(self, condition: str, then: Callable[[], str], otherwise: Callable[[], str]) -> str:
        """A float32 value that one of two branches makes; only that one runs."""
        return self.op("If", condition, then_branch=self._branch(then), else_branch=self._branch(otherwise))

    def _branch(self, make: Callable[[], str]) -> GraphProto:
        with self.scope() as nodes:
            output = make()
            if not any(output in node.output for node in nodes):
                output = self.op("Identity", output)
        return helper.make_graph(nodes, self.name("branch"), [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])
