"""Functions of the domain `superserve`: the operators of the paper, and blocks that occur several times in a graph."""

from collections.abc import Callable, Iterator, Sequence

from onnx import AttributeProto, FunctionProto, NodeProto, helper

from superserve_cli.supernet.onnx.graph import DOMAIN, Graph


def operators(opset: int) -> list[FunctionProto]:
    """WeightSlice and SubnetNorm."""
    return [
        _function("WeightSlice", ["weight", "starts", "ends", "axes"], [("Slice", ["weight", "starts", "ends", "axes"], "part")], opset),
        _function("SubnetNorm", ["x", "factor", "offset"], [("Mul", ["x", "factor"], "scaled"), ("Add", ["scaled", "offset"], "y")], opset),
    ]


def _function(name: str, inputs: list[str], steps: list[tuple[str, list[str], str]], opset: int) -> FunctionProto:
    nodes = [helper.make_node(kind, before, [after]) for kind, before, after in steps]
    return helper.make_function(DOMAIN, name, inputs, [steps[-1][2]], nodes, [helper.make_opsetid("", opset)])


def lifted(graph: Graph, make: Callable[[], str]) -> str:
    """What `make` yields; its nodes become a function, which equal ones share, and a call of it."""
    with graph.scope() as nodes:
        output = make()
    if not any(output in node.output for node in nodes):
        return output
    outside = list(dict.fromkeys(_free(nodes, set())))
    names = {**{name: f"in{i}" for i, name in enumerate(outside)}, **{name: f"v{i}" for i, name in enumerate(_made(nodes))}}
    body = [_renamed(node, names) for node in nodes]
    return graph.op(graph.function(body, len(outside), names[output]), *outside, domain=DOMAIN)


def _free(nodes: Sequence[NodeProto], known: set[str]) -> Iterator[str]:
    """The values that nodes take from outside, subgraphs included, in the order of their use."""
    known = set(known)
    for node in nodes:
        yield from (name for name in node.input if name and name not in known)
        for inner in _subgraphs(node):
            yield from _free(inner, known)
        known.update(node.output)


def _made(nodes: Sequence[NodeProto]) -> Iterator[str]:
    """The values that nodes make, those of subgraphs among them."""
    for node in nodes:
        for inner in _subgraphs(node):
            yield from _made(inner)
        yield from node.output


def _subgraphs(node: NodeProto) -> Iterator[Sequence[NodeProto]]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g.node


def _renamed(node: NodeProto, names: dict[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names[name] for name in node.output]
    for attribute in copy.attribute:
        if attribute.type == AttributeProto.GRAPH:
            inner = [_renamed(each, names) for each in attribute.g.node]
            del attribute.g.node[:]
            attribute.g.node.extend(inner)
            attribute.g.name = "branch"
            for output in attribute.g.output:
                output.name = names[output.name]
    return copy
