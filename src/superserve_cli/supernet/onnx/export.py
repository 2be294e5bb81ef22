"""Exports SuperNets as ONNX: one subnet, or many in one graph. No file is left that does not answer as torch does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from safetensors.torch import save as encode

from superserve_cli.core.files import replacing
from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption
from superserve_cli.supernet import extract
from superserve_cli.supernet.layers import Plan
from superserve_cli.supernet.onnx.described import KEY, Control, Described, Form
from superserve_cli.supernet.onnx.emit import Emitter
from superserve_cli.supernet.onnx.entries import Entries
from superserve_cli.supernet.onnx.functions import operators
from superserve_cli.supernet.onnx.graph import Graph
from superserve_cli.supernet.onnx.model import finished
from superserve_cli.supernet.onnx.normalize import Constant, Selected
from superserve_cli.supernet.onnx.slices import Fixed, Sliced
from superserve_cli.supernet.onnx.statistics import Folding
from superserve_cli.supernet.onnx.write import LARGEST_INLINE, enough_memory, write
from superserve_cli.supernet.supernet import SuperNet
from superserve_cli.supernet.vocabulary import vocabulary

OPSET: Final = 17
"""The oldest that has everything that the built-in families need."""


def export_subnet(
    net: SuperNet, subnet: Subnet, path: Path, opset: int = OPSET, verify: bool = True, largest_inline: int = LARGEST_INLINE
) -> float | None:
    """Write one subnet as a static graph, SubnetNorm folded into its convolutions. The batch size is free.

    Returns the largest relative difference from torch on random inputs, None without `verify`. Weights of more bytes than
    `largest_inline` go to a file beside it, `<name>.data`. Raises BadOption for a subnet that is not in the space or not
    calibrated and for an opset that cannot hold it, BadFile where it cannot be written, SuperserveError where memory is short or
    the file does not answer as torch does.
    """
    net.program(subnet)  # complains about what cannot run
    with enough_memory(path):
        graph, plans = Graph(opset), {0: net.plan(subnet)}
        entries, weights = Entries(graph), Fixed(graph, net.weights)
        normalizer = Constant(graph, weights, Folding(net, {0: subnet}))
        output = Emitter(graph, weights, entries, normalizer).network(plans, net.architecture.shape)
        described = _described(net, "subnet", [subnet], entries)
        return write(path, net, finished(graph, output, described, []), graph.arrays, described, verify, largest_inline)


def export_whole(
    net: SuperNet, subnets: Sequence[Subnet], path: Path, opset: int = OPSET, verify: bool = True, largest_inline: int = LARGEST_INLINE
) -> float | None:
    """Write many subnets as one graph over shared weights; the inputs `depth`, `width` and `subnet` say which of them runs.

    `depth` has an entry for each stage, `width` one for each number that differs between the subnets, `subnet` is the row of the
    SubnetNorm statistics; the file's metadata lists them for every subnet. Returns and raises as `export_subnet` does.
    """
    if not subnets:
        raise BadOption("no subnets to export", hint="name some, or calibrate them first")
    rows = dict(enumerate(dict.fromkeys(subnets)))
    for subnet in rows.values():
        net.program(subnet)
    with enough_memory(path):
        graph = Graph(opset)
        plans: Mapping[int, Plan] = {row: net.plan(subnet) for row, subnet in rows.items()}
        entries = Entries(graph)
        weights = Sliced(graph, entries, net.weights, plans.values())
        normalizer = Selected(graph, weights, Folding(net, rows))
        output = Emitter(graph, weights, entries, normalizer).network(plans, net.architecture.shape)
        normalizer.finish(len(rows))
        described = _described(net, "supernet", list(rows.values()), entries)
        model = finished(graph, output, described, operators(opset))
        return write(path, net, model, graph.arrays, described, verify, largest_inline)


def export_tensors(net: SuperNet, subnet: Subnet, path: Path) -> float:
    """Write the tensors of one subnet as safetensors, by parameter name, with what they are in the metadata entry `superserve`.

    Returns how much they differ from the SuperNet's: nothing. Raises as `export_subnet` does.
    """
    tensors = extract.tensors(net, subnet)
    described = _described(net, "subnet", [subnet], Entries(Graph(OPSET)))
    with enough_memory(path), replacing(path) as temporary:
        temporary.write_bytes(encode(tensors, {KEY: described.text}))
    return 0.0


def _described(net: SuperNet, form: Form, subnets: Sequence[Subnet], entries: Entries) -> Described:
    return Described(
        form=form,
        name=net.name,
        hash=net.hash,
        family=net.family,
        shape=net.architecture.shape,
        dtype=net.architecture.dtype,
        classes=net.architecture.classes,
        task=net.metadata.get("task") or {},
        subnets=tuple(_control(net, row, subnet, entries) for row, subnet in enumerate(subnets)),
        vocabulary=vocabulary(net.plan(net.space.largest)),
    )


def _control(net: SuperNet, row: int, subnet: Subnet, entries: Entries) -> Control:
    known = net.metadata.get("subnets", {}).get(subnet, {})
    return Control(
        id=subnet,
        row=row,
        depth=entries.depth_of(row),
        width=entries.width_of(row),
        macs=net.macs(subnet),
        params=net.params(subnet),
        accuracy=known.get("test", known.get("validation")),
    )
