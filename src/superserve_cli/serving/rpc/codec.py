"""`ModelInfer` on the wire: messages to requests, and answers to messages. Pure; knows no server.

The bytes of a tensor stand in `raw_input_contents`, one entry per input, or as numbers in the inputs' `contents`; never both.
A request of numbers is answered with numbers, every other with `raw_output_contents`. Tensors may lie in shared memory instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from superserve_cli.serving.protocol import MOST_TENSORS, NOWHERE, InferRequest, InferResponse, Read, Tensor, Wanted
from superserve_cli.serving.refusals import Invalid, TooLarge
from superserve_cli.serving.rpc.messages import ModelInferResponse
from superserve_cli.serving.shared_memory import MOST_BYTES, Place, place, said
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
CHOICES: Final = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
LARGEST_INT64: Final = 2**63 - 1


def parsed(kind: Any, body: bytes) -> Any:
    """The message of a class that some bytes hold; raises Invalid."""
    try:
        return kind.FromString(body)
    except DecodeError:
        raise Invalid(f"the message is not a {kind.DESCRIPTOR.full_name}") from None


def read_request(message: Any, read: Read | None = None, within_ns: int | None = None) -> InferRequest:
    """What a ModelInferRequest asks, of a client that will wait so long; `read` finds what lies in shared memory.

    Raises Invalid, TooLarge, and what `read` raises.
    """
    raw = message.raw_input_contents or None
    binary = raw is not None or not any(map(_has_numbers, message.inputs))
    inputs = _inputs(message.inputs, raw, read)
    outputs = tuple(_wanted(output, binary) for output in _few(message.outputs)) if message.outputs else ()
    return InferRequest(inputs, message.id, read_parameters(message.parameters), outputs, binary, within_ns)


def write_response(response: InferResponse, raw: bool = True, placed: Mapping[str, Place] = NOWHERE) -> Any:
    """The message of an answer, its tensors as bytes or, where all their datatypes have such a form, as numbers.

    Of outputs that were `placed` in shared memory it says only where.
    """
    message = ModelInferResponse(model_name=response.model_name, model_version=response.model_version, id=response.id)
    write_parameters(response.parameters, message.parameters)
    raw = raw or any(tensor.datatype not in CONTENTS for tensor in response.outputs)
    for name, datatype, data in response.outputs:
        output = message.outputs.add(name=name, datatype=datatype, shape=data.shape)
        if (where := placed.get(name)) is not None:
            write_parameters(said(where), output.parameters)
        elif not raw:
            getattr(output.contents, CONTENTS[datatype]).extend(data.ravel().tolist())
        if raw:  # one for every output, or clients would look for theirs in the wrong place
            message.raw_output_contents.append(b"" if where is not None else to_bytes(datatype, data))
    return message


def read_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as plain values; raises Invalid for one without a value."""
    return {name: _value(name, choice) for name, choice in parameters.items()}


def write_parameters(values: Mapping[str, Any], parameters: Any) -> None:
    """Fill a message's map of parameters."""
    for name, value in values.items():
        kind = CHOICES[type(value)]
        setattr(parameters[name], "uint64_param" if kind == "int64_param" and value > LARGEST_INT64 else kind, value)


def _value(name: str, choice: Any) -> Any:
    if (which := choice.WhichOneof("parameter_choice")) is None:
        raise Invalid(f"parameter {name!r} has no value")
    return getattr(choice, which)


def _inputs(tensors: Sequence[Any], raw: Sequence[bytes] | None, read: Read | None) -> tuple[Tensor, ...]:
    """The inputs: those that do not lie in shared memory take the next entry of `raw`, or hold their numbers where there is none."""
    found, at, shared = [], 0, 0
    for tensor in _few(tensors):
        name, datatype, shape = tensor.name, _datatype(tensor), list(tensor.shape)
        try:
            if tensor.parameters and (where := place(read_parameters(tensor.parameters))) is not None:
                shared += where.byte_size
                data = _shared(datatype, shape, tensor, where, shared, read)
            elif raw is None:
                data = _numbers(datatype, shape, tensor.contents)
            else:
                data, at = _next(tensor, datatype, shape, raw, at), at + 1
        except Invalid as error:
            raise Invalid(f"tensor {name!r}: {error}") from None
        found.append(Tensor(name, datatype, data))
    if raw is not None and at != len(raw):
        raise Invalid(f"{len(raw)} raw_input_contents stand beside {at} inputs")
    return tuple(found)


def _has_numbers(tensor: Any) -> bool:
    return tensor.HasField("contents") and bool(tensor.contents.ListFields())


def _next(tensor: Any, datatype: str, shape: Sequence[int], raw: Sequence[bytes], at: int) -> NDArray[Any]:
    if _has_numbers(tensor):
        raise Invalid("raw_input_contents and contents exclude each other")
    if at == len(raw):
        raise Invalid(f"{len(raw)} raw_input_contents stand beside more inputs")
    body = raw[at]
    return from_bytes(datatype, shape, body, 0, len(body))


def _shared(datatype: str, shape: Sequence[int], tensor: Any, where: Place, shared: int, read: Read | None) -> NDArray[Any]:
    if read is None or _has_numbers(tensor):
        raise Invalid("a tensor in shared memory has no contents beside it")
    if shared > MOST_BYTES:  # before it is read: a few words could ask for all the memory there is
        raise TooLarge(f"a request may have at most {MOST_BYTES} bytes in shared memory")
    return from_bytes(datatype, shape, read(where), 0, where.byte_size)


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
    name, parameters = output.name, read_parameters(output.parameters)
    try:
        if type(classes := parameters.get("classification", 0)) is not int or classes < 0:
            raise Invalid(f"classification must be a number of classes, not {classes!r}")
        return Wanted(name, raw, place(parameters), classes)
    except Invalid as error:
        raise Invalid(f"output {name!r}: {error}") from None


def _few(tensors: Sequence[Any]) -> Sequence[Any]:
    if len(tensors) > MOST_TENSORS:
        raise Invalid(f"{len(tensors)} tensors are more than the {MOST_TENSORS} that a message may have")
    return tensors
