"""A graph as an ONNX model: its inputs and outputs, its functions, its weights inside or beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from onnx import FunctionProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from superserve_cli.supernet.onnx.described import KEY, Described
from superserve_cli.supernet.onnx.graph import DOMAIN, Array, Graph

FUNCTIONS_IR: Final = 8
"""The version of ONNX files that brought functions."""
ALIGNMENT: Final = 4096
"""Where weights begin in a file of their own: at pages, so that they can be mapped."""
SMALLEST_BESIDE: Final = 1024
"""Constants of fewer bytes stay in the model: shapes are among them, which a checker wants to see."""
ELEMENTS: Final = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


def finished(graph: Graph, output: str, described: Described, operators: list[FunctionProto]) -> ModelProto:
    """The model without its weights, which `inline` or `beside` add."""
    nodes = [*graph.before, *graph.scopes[0], helper.make_node("Identity", [output], ["logits"])]
    made = helper.make_graph(nodes, "".join(c if c.isalnum() else "_" for c in described.name), _inputs(described), [_logits(described)])
    functions = [*operators, *graph.functions.values()]
    domains = [helper.make_opsetid("", graph.opset), *([helper.make_opsetid(DOMAIN, 1)] if functions else [])]
    version = max(FUNCTIONS_IR, helper.find_min_ir_version_for([helper.make_opsetid("", graph.opset)]))
    model = helper.make_model(made, opset_imports=domains, functions=functions, ir_version=version, producer_name="superserve")
    helper.set_model_props(model, {KEY: described.text})
    return model


def _inputs(described: Described) -> list[ValueInfoProto]:
    x = helper.make_tensor_value_info("input", ELEMENTS[described.dtype], ["n", *described.shape])
    if described.form == "subnet":
        return [x]
    some = described.subnets[0]
    lengths = {"depth": [len(some.depth)], "width": [len(some.width)], "subnet": []}
    return [x, *(helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in lengths.items())]


def _logits(described: Described) -> ValueInfoProto:
    return helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", described.classes])


def inline(model: ModelProto, arrays: Mapping[str, Array]) -> None:
    """Put the weights into the model."""
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())


def beside(model: ModelProto, arrays: Mapping[str, Array], data: Path, location: str) -> None:
    """Put the weights into a file of their own, which the model calls `location`; small constants stay inside."""
    small = {name: array for name, array in arrays.items() if array.nbytes < SMALLEST_BESIDE}
    inline(model, small)
    with data.open("wb") as file:
        for name, array in ((name, array) for name, array in arrays.items() if name not in small):
            file.write(b"\0" * (-file.tell() % ALIGNMENT))
            model.graph.initializer.append(_elsewhere(name, array, location, file.tell()))
            array.tofile(file)


def _elsewhere(name: str, array: Array, location: str, offset: int) -> TensorProto:
    tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": offset, "length": array.nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def relocate(model: ModelProto, location: str) -> None:
    """Call the file with the weights something else."""
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
