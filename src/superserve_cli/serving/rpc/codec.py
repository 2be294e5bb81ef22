"""`ModelInfer` on the wire: messages to requests, and answers to messages. Pure; knows no server.

The bytes of a tensor stand in `raw_input_contents`, one entry per input, or as numbers in the inputs' `contents`; never both.
A request of numbers is answered with numbers, every other with `raw_output_contents`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, Wanted
from superserve_cli.serving.refusals import Invalid
from superserve_cli.serving.rpc.messages import ModelInferResponse
from superserve_cli.serving.tensors import DTYPES, elements, from_bytes, holds, to_bytes

CONTENTS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the numbers of a datatype stand; the others have no such form."""
LARGEST_INT64: Final = 2**63 - 1


def parsed(kind: Any, body: bytes) -> Any:
    """The message of a class that some bytes hold; raises Invalid."""
    try:
        return kind.FromString(body)
    except DecodeError:
        raise Invalid(f"the message is not a {kind.DESCRIPTOR.full_name}") from None


def read_request(message: Any, within_ns: int | None = None) -> InferRequest:
    """What a ModelInferRequest asks, of a client that will wait so long; raises Invalid."""
    raw = bool(message.raw_input_contents)
    inputs = _raw_inputs(message) if raw else tuple(map(_typed_input, message.inputs))
    outputs = tuple(_wanted(output, raw) for output in message.outputs)
    return InferRequest(inputs, message.id, read_parameters(message.parameters), outputs, raw, within_ns)


def write_response(response: InferResponse, raw: bool = True) -> Message:
    """The message of an answer, its tensors as bytes or, where all their datatypes have such a form, as numbers."""
    message = ModelInferResponse(model_name=response.model_name, model_version=response.model_version, id=response.id)
    write_parameters(response.parameters, message.parameters)
    raw = raw or any(tensor.datatype not in CONTENTS for tensor in response.outputs)
    for name, datatype, data in response.outputs:
        output = message.outputs.add(name=name, datatype=datatype, shape=data.shape)
        if raw:
            message.raw_output_contents.append(to_bytes(datatype, data))
        else:
            getattr(output.contents, CONTENTS[datatype]).extend(data.ravel().tolist())
    return message


def read_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as plain values; raises Invalid for one without a value."""
    return {name: _value(name, choice) for name, choice in parameters.items()}


def write_parameters(values: Mapping[str, Any], parameters: Any) -> None:
    """Fill a message's map of parameters."""
    for name, value in values.items():
        setattr(parameters[name], _choice(value), value)


def _value(name: str, choice: Any) -> Any:
    if (which := choice.WhichOneof("parameter_choice")) is None:
        raise Invalid(f"parameter {name!r} has no value")
    return getattr(choice, which)


def _choice(value: Any) -> str:
    if isinstance(value, bool):
        return "bool_param"
    if isinstance(value, int):
        return "uint64_param" if value > LARGEST_INT64 else "int64_param"
    return "double_param" if isinstance(value, float) else "string_param"


def _raw_inputs(message: Any) -> tuple[Tensor, ...]:
    inputs, raw = message.inputs, message.raw_input_contents
    if any(tensor.HasField("contents") for tensor in inputs):
        raise Invalid("raw_input_contents and contents exclude each other")
    if len(raw) != len(inputs):
        raise Invalid(f"{len(raw)} raw_input_contents stand beside {len(inputs)} inputs")
    return tuple(_tensor(tensor, body) for tensor, body in zip(inputs, raw, strict=True))


def _tensor(tensor: Any, body: bytes) -> Tensor:
    name, datatype = tensor.name, _datatype(tensor)
    try:
        return Tensor(name, datatype, from_bytes(datatype, list(tensor.shape), body, 0, len(body)))
    except Invalid as error:
        raise Invalid(f"tensor {name!r}: {error}") from None


def _typed_input(tensor: Any) -> Tensor:
    name, datatype = tensor.name, _datatype(tensor)
    try:
        return Tensor(name, datatype, _numbers(datatype, list(tensor.shape), tensor.contents))
    except Invalid as error:
        raise Invalid(f"tensor {name!r}: {error}") from None


def _datatype(tensor: Any) -> str:
    datatype: str = tensor.datatype
    if datatype not in DTYPES:
        raise Invalid(f"tensor {tensor.name!r}: datatype {datatype!r} is none of {', '.join(DTYPES)}")
    return datatype


def _numbers(datatype: str, shape: Sequence[int], contents: Any) -> NDArray[Any]:
    if (expected := CONTENTS.get(datatype)) is None:
        raise Invalid(f"{datatype} goes into raw_input_contents")
    if wrong := [found.name for found, _ in contents.ListFields() if found.name != expected]:
        raise Invalid(f"{datatype} belongs into {expected}, not into {wrong[0]}")
    values = getattr(contents, expected)
    if len(values) != (count := elements(shape)):
        raise Invalid(f"shape {list(shape)} has {count} elements, and {expected} {len(values)}")
    return _array(datatype, list(values)).reshape(shape)


def _array(datatype: str, values: list[Any]) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    if dtype.kind in "iu" and values and not holds(dtype, min(values), max(values)):
        raise Invalid(f"a number in {CONTENTS[datatype]} does not fit into {datatype}")
    array = np.empty(len(values), dtype)
    array[:] = values
    return array


def _wanted(output: Any, raw: bool) -> Wanted:
    if read_parameters(output.parameters).get("classification"):
        raise Invalid(f"output {output.name!r}: classification is not supported: ask for the tensor")
    return Wanted(output.name, raw)
