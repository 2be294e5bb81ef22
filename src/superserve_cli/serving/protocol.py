"""The messages of the Open Inference Protocol v2 (REST): bytes to requests and answers, and back. Pure; knows no HTTP.

A message is JSON, or JSON followed by raw tensors (the binary tensor data extension); the length of the JSON then stands in the
HTTP header `Inference-Header-Content-Length`, here `header_length`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from superserve_cli.core.nouns import new
from superserve_cli.serving.refusals import Invalid, TooLarge
from superserve_cli.serving.shared_memory import MOST_BYTES, Place, place, said
from superserve_cli.serving.tensors import DTYPES, Raw, from_bytes, from_json, to_bytes, to_json
from superserve_cli.serving.texts import Texts, cut

NO_PARAMETERS: Final[Mapping[str, Any]] = {}
NOWHERE: Final[Mapping[str, Place]] = {}
MOST_TENSORS: Final = 64
LOOKED_AT: Final = ("BOOL", "BYTES", "BF16")
"""Datatypes whose bytes may be wrong, or are not what numpy has."""
Read = Callable[[Place], bytes]
"""Finds the bytes at a place in shared memory; raises Refusal."""


class Tensor(NamedTuple):
    """A named array; for BYTES an array of `bytes` objects."""

    name: str
    datatype: str
    data: NDArray[Any]


class Wanted(NamedTuple):
    """An output that a request asks for, whether as bytes, or at which place in shared memory; of `classes`, only the best so many."""

    name: str
    binary: bool
    place: Place | None = None
    classes: int = 0


class InferRequest(NamedTuple):
    """A request to infer. No `outputs` means all of them, as bytes iff `binary_output`.

    `within_ns` is how long its client will wait whatever the parameters say, where the transport knows.
    """

    inputs: tuple[Tensor, ...]
    id: str = ""
    parameters: Mapping[str, Any] = NO_PARAMETERS
    outputs: tuple[Wanted, ...] = ()
    binary_output: bool = False
    within_ns: int | None = None

    def as_bytes(self, output: str) -> bool:
        """Whether an output is to be sent as bytes."""
        for wanted in self.outputs:
            if wanted.name == output:
                return wanted.binary
        return self.binary_output

    def placed(self) -> dict[str, Place]:
        """The outputs that are to be put into shared memory, and where."""
        return {wanted.name: wanted.place for wanted in self.outputs if wanted.place is not None}


class InferResponse(NamedTuple):
    """The answer to one."""

    model_name: str
    outputs: tuple[Tensor, ...]
    id: str = ""
    model_version: str = ""
    parameters: Mapping[str, Any] = NO_PARAMETERS


def _no_constant(text: str) -> None:
    raise Invalid(f"{text} is not JSON")


# orjson takes a tenth of the time; what it refuses, the standard library judges: half a surrogate pair is JSON too
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)


class Layout(NamedTuple):
    """What the text of a request says when all its tensors are numbers that follow it, `size` bytes in all."""

    tensors: tuple[tuple[str, str, np.dtype[Any], tuple[int, ...], int], ...]
    size: int
    asked: InferRequest

    def request(self, body: Raw, start: int, id: str | None = None, timeout: int | None = None) -> InferRequest:
        """The request with the numbers of this body, and an id and a time of its own."""
        inputs = []
        for name, datatype, dtype, shape, size in self.tensors:
            inputs.append(new(Tensor, (name, datatype, np.ndarray(shape, dtype, body, start))))
            start += size
        _, known_id, parameters, outputs, binary, within_ns = self.asked
        if timeout is not None:
            parameters = {**parameters, "timeout": timeout}
        return new(InferRequest, (tuple(inputs), known_id if id is None else id, parameters, outputs, binary, within_ns))


_TEXTS: Final[Texts[Layout]] = Texts()


def read_request(body: Raw, header_length: int | None = None, read: Read | None = None) -> InferRequest:
    """The request that a body holds; `read` finds what lies in shared memory. Raises Invalid, TooLarge, and what `read` raises."""
    if header_length is None or not 0 < header_length <= len(body):
        return _read_request(body, header_length, read)
    text, size = bytes(body[:header_length]), len(body) - header_length
    if (layout := _TEXTS.whole.get(text)) is not None and layout.size == size:
        return layout.request(body, header_length)
    key, id, timeout = cut(text)
    if (layout := _TEXTS.cut.get(key)) is not None and layout.size == size:
        return layout.request(body, header_length, id, timeout)
    request = _read_request(body, header_length, read)
    if layout is None and (learnt := _layout(request, size)) is not None:
        _TEXTS.learn(text, key, read_object, learnt)
    return request


def _layout(request: InferRequest, size: int) -> Layout | None:
    """What to remember of a request; None where a tensor is elsewhere, or its bytes must be looked at."""
    tensors = tuple((name, datatype, data.dtype, data.shape, data.nbytes) for name, datatype, data in request.inputs)
    if sum(tensor[-1] for tensor in tensors) != size or any(not tensor[-1] or tensor[1] in LOOKED_AT for tensor in tensors):
        return None
    return Layout(tensors, size, request._replace(inputs=()))


def _read_request(body: Raw, header_length: int | None, read: Read | None) -> InferRequest:
    head, start = _head(body, header_length)
    parameters = typed(head, "parameters", dict, NO_PARAMETERS)
    binary = typed(parameters, "binary_data_output", bool, False)
    inputs = _tensors(typed(head, "inputs", list, ()), body, start, read)
    outputs = tuple(_wanted(item, binary) for item in _few(typed(head, "outputs", list, ())))
    return InferRequest(inputs, typed(head, "id", str, ""), parameters, outputs, binary)


def write_request(request: InferRequest, binary: bool = True) -> tuple[bytes, int | None]:
    """The body of a request and its header length (None: all of it is JSON); raises Invalid for what JSON cannot say."""
    parameters = {**request.parameters, "binary_data_output": True} if request.binary_output else request.parameters
    inputs, raw = _written(request.inputs, [binary] * len(request.inputs), NOWHERE)
    head: dict[str, Any] = {"inputs": inputs}
    if request.id:
        head["id"] = request.id
    if parameters:
        head["parameters"] = parameters
    if request.outputs:
        head["outputs"] = [{"name": o.name, "parameters": {"binary_data": o.binary}} for o in request.outputs]
    return _joined(head, raw)


def write_response(response: InferResponse, binary: Sequence[bool], placed: Mapping[str, Place] = NOWHERE) -> tuple[bytes, int | None]:
    """The body of an answer, each output as bytes or as JSON, and its header length; raises Invalid for what JSON cannot say.

    Of outputs that were `placed` in shared memory it says only where.
    """
    outputs, raw = _written(response.outputs, binary, placed)
    head: dict[str, Any] = {"model_name": response.model_name, "outputs": outputs}
    if response.model_version:
        head["model_version"] = response.model_version
    if response.id:
        head["id"] = response.id
    if response.parameters:
        head["parameters"] = response.parameters
    return _joined(head, raw)


def read_object(text: Raw) -> dict[str, Any]:
    """The JSON object that some bytes are; raises Invalid."""
    try:
        head = orjson.loads(text)
    except orjson.JSONDecodeError:
        head = _judged(text)
    if not isinstance(head, dict):
        raise Invalid("the request is not a JSON object")
    return head


def _judged(text: Raw) -> object:
    try:
        return _DECODER.decode(str(text, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the request is not JSON: {error}") from None


def _head(body: Raw, header_length: int | None) -> tuple[dict[str, Any], int]:
    end = len(body) if header_length is None else header_length
    if not 0 <= end <= len(body):
        raise Invalid(f"Inference-Header-Content-Length is {end}, and the body has {len(body)} bytes")
    return read_object(body[:end]), end


def typed(head: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    """The value of a key, which must be of a kind where it is there and not null; raises Invalid."""
    value = head.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Invalid(f"{key} must be {_KINDS[kind]}")
    return value


_KINDS: Final = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "an integer"}


def _tensors(items: Sequence[Any], body: Raw, start: int, read: Read | None) -> tuple[Tensor, ...]:
    found, shared = [], 0
    for item in _few(items):
        if not isinstance(item, dict) or not isinstance(name := item.get("name"), str):
            raise Invalid("a tensor must be an object with a name")
        try:
            parameters = typed(item, "parameters", dict, NO_PARAMETERS)
            if (where := place(parameters) if parameters else None) is None:
                tensor, start = _tensor(name, item, parameters, body, start)
            else:
                shared += where.byte_size  # before it is read: a few words could ask for all the memory there is
                tensor = _shared(name, item, parameters, where, shared, read)
        except Invalid as error:
            raise Invalid(f"tensor {name!r}: {error}") from None
        found.append(tensor)
    if start != len(body):
        raise Invalid(f"{len(body) - start} bytes of the body belong to no tensor")
    return tuple(found)


def _few(items: Sequence[Any]) -> Sequence[Any]:
    if len(items) > MOST_TENSORS:
        raise Invalid(f"{len(items)} tensors are more than the {MOST_TENSORS} that a message may have")
    return items


def _tensor(name: str, item: Mapping[str, Any], parameters: Mapping[str, Any], body: Raw, start: int) -> tuple[Tensor, int]:
    datatype, shape = _datatype(item), item.get("shape")
    size = typed(parameters, "binary_data_size", int, None)
    if size is None:
        return Tensor(name, datatype, from_json(datatype, shape, item.get("data"))), start  # type: ignore[arg-type]  # checked there
    if "data" in item or not 0 <= size <= len(body) - start:
        raise Invalid("binary_data_size must be that of raw data behind the JSON, instead of data in it")
    return Tensor(name, datatype, from_bytes(datatype, shape, body, start, size)), start + size  # type: ignore[arg-type]  # as above


def _shared(name: str, item: Mapping[str, Any], parameters: Mapping[str, Any], where: Place, shared: int, read: Read | None) -> Tensor:
    datatype, shape = _datatype(item), item.get("shape")
    if read is None or "data" in item or "binary_data_size" in parameters:
        raise Invalid("a tensor in shared memory has no data beside it")
    if shared > MOST_BYTES:
        raise TooLarge(f"a request may have at most {MOST_BYTES} bytes in shared memory")
    return Tensor(name, datatype, from_bytes(datatype, shape, read(where), 0, where.byte_size))  # type: ignore[arg-type]  # checked there


def _datatype(item: Mapping[str, Any]) -> str:
    datatype = item.get("datatype")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise Invalid(f"datatype {repr(datatype)[:40]} is none of {', '.join(DTYPES)}")
    return datatype


def _wanted(item: Any, binary: bool) -> Wanted:
    if not isinstance(item, dict) or not isinstance(name := item.get("name"), str):
        raise Invalid("an output must be an object with a name")
    parameters = typed(item, "parameters", dict, NO_PARAMETERS)
    try:
        classes = typed(parameters, "classification", int, 0)
        if classes < 0:
            raise Invalid(f"classification must be a number of classes, not {classes}")
        return Wanted(name, typed(parameters, "binary_data", bool, binary), place(parameters), classes)
    except Invalid as error:
        raise Invalid(f"output {name!r}: {error}") from None


def _written(tensors: Sequence[Tensor], binary: Sequence[bool], placed: Mapping[str, Place]) -> tuple[list[dict[str, Any]], list[bytes]]:
    items, raw = [], []
    for (name, datatype, data), as_bytes in zip(tensors, binary, strict=True):
        item: dict[str, Any] = {"name": name, "shape": data.shape, "datatype": datatype}
        if placed and (where := placed.get(name)) is not None:
            item["parameters"] = said(where)
        elif as_bytes:
            raw.append(some := to_bytes(datatype, data))
            item["parameters"] = {"binary_data_size": len(some)}
        else:
            item["data"] = to_json(datatype, data)
        items.append(item)
    return items, raw


def _joined(head: Mapping[str, Any], raw: list[bytes]) -> tuple[bytes, int | None]:
    try:
        text = orjson.dumps(head)
    except TypeError:
        text = _ENCODER.encode(head).encode()
    if not raw:
        return text, None
    return (text + raw[0] if len(raw) == 1 else b"".join([text, *raw])), len(text)
