"""The same over gRPC: a message is written by hand around the raw rows, which are thereby never copied."""

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from superserve_cli.serving.load.answers import Answer, Broken, classes_of, known_answer
from superserve_cli.serving.load.inputs import NUMBERS, Draw
from superserve_cli.serving.load.questions import Pieces
from superserve_cli.serving.load.target import Target
from superserve_cli.serving.load.wire import Buffer
from superserve_cli.serving.rpc.messages import ModelInferRequest, ModelInferResponse

RAW: Final = bytes([ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number << 3 | 2])
PARAMETERS: Final = ModelInferRequest.DESCRIPTOR.fields_by_name["parameters"].number << 3 | 2
TIMEOUT: Final = b"\x0a\x07timeout\x12"
"""The key of an entry of `parameters`, and the tag of its value."""
INT64: Final = 2 << 3
CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


class RpcQuestions:
    """Requests as messages of ModelInfer, with gRPC's length prefix."""

    def __init__(self, target: Target, draw: Draw) -> None:
        self._pieces = Pieces(draw)
        counts, floors = draw.count.tolist(), draw.floor.tolist()
        starts = {cell: _start(target, draw, *cell) for cell in set(zip(counts, floors, strict=True))}
        self._starts = [starts[cell] for cell in zip(counts, floors, strict=True)]

    def message(self, id: int, timeout_us: int) -> Sequence[Buffer]:
        """A whole request, which says that `timeout_us` are left."""
        start, raw = self._starts[id] + _timeout(timeout_us), self._pieces.raw(id)
        heads = [RAW + varint(len(piece)) for piece in raw]
        length = len(start) + sum(map(len, heads)) + sum(map(len, raw))
        heads[0] = struct.pack(">BI", 0, length) + start + heads[0]
        return [part for pair in zip(heads, raw, strict=True) for part in pair]

    def answer(self, id: int, body: bytes, json_bytes: int | None) -> Answer:
        """What an inference answer says; raises Broken."""
        labels = self._pieces.labels(id)
        try:
            said = ModelInferResponse.FromString(body)
            classes = None if labels is None else classes_of(_first_output(said), list(said.outputs[0].shape), len(labels))
        except (DecodeError, ValueError, IndexError, KeyError) as error:
            raise Broken(f"a broken answer: {type(error).__name__}: {error}") from None
        known = {name: _value(parameter) for name, parameter in said.parameters.items()}
        return known_answer(known, None if classes is None else classes == labels)

    def complaint(self, status: int, body: bytes) -> str:
        """What a refusal says, in a line."""
        return " ".join(body.decode(errors="replace").split())[:140]


def _start(target: Target, draw: Draw, count: int, floor: float) -> bytes:
    """All that is the same whenever so many rows go out with that floor."""
    request = ModelInferRequest(model_name=target.model, model_version=target.place.version)
    for one, tensor in zip(target.inputs, draw.tensors, strict=True):
        shape = (count, *tensor.shape[1:]) if one.stacked else tensor.shape[1:]
        request.inputs.add(name=one.name, datatype=one.datatype, shape=shape)
    if floor > 0:
        request.parameters["min_accuracy"].double_param = floor
    written: bytes = request.SerializeToString()
    return written


def _timeout(us: int) -> bytes:
    number = varint(us)
    value = bytes([len(number) + 1, INT64]) + number
    return bytes([PARAMETERS, len(TIMEOUT) + len(value)]) + TIMEOUT + value


def varint(number: int) -> bytes:
    """A number of at least 0 as protobuf writes it, seven bits a byte."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _value(parameter: Any) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return None if kind is None else getattr(parameter, kind)


def _first_output(said: Any) -> Any:
    output = said.outputs[0]
    if said.raw_output_contents:
        return np.frombuffer(said.raw_output_contents[0], NUMBERS[output.datatype])
    return np.array(getattr(output.contents, CONTENTS[output.datatype]))
