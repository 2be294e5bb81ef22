"""Tensors to send, made from what a model says of its inputs; and tensors that come back. Shares no code with our server."""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

FORMATS: Final = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""How `struct` calls the datatypes of fixed size."""
DATATYPES: Final = frozenset((*FORMATS, "BF16", "BYTES"))
NO_JSON: Final = frozenset(("FP16", "BF16"))
LENGTH: Final = struct.Struct("<I")


class Sample(NamedTuple):
    """A tensor with its values in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]

    def as_json(self, **changes: Any) -> dict[str, Any]:
        """The tensor as a request holds it, its data as a flat list."""
        return {**self._head(), "data": list(self.values), **changes}

    def as_binary(self, **changes: Any) -> dict[str, Any]:
        """The tensor as a request holds it when its data follows the JSON."""
        return {**self._head(), "parameters": {"binary_data_size": len(self.raw())}, **changes}

    def raw(self) -> bytes:
        """Its data as bytes, little-endian."""
        return packed(self.datatype, self.values)

    def _head(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.shape), "datatype": self.datatype}


def sample(name: str, datatype: str, shape: Sequence[int], rows: int) -> Sample:
    """A tensor that most models take: the first dimension `rows` where it varies, other variable ones 1; small values."""
    sizes = tuple((rows if i == 0 else 1) if size < 0 else size for i, size in enumerate(shape))
    return Sample(name, datatype, sizes, tuple(_value(datatype, i) for i in range(prod(sizes))))


def _value(datatype: str, i: int) -> Any:
    if datatype == "BYTES":
        return str(i % 2)
    if datatype == "BOOL":
        return i % 2 == 1
    return (i % 2) / 2 if datatype in ("FP16", "BF16", "FP32", "FP64") else i % 2


def packed(datatype: str, values: Sequence[Any]) -> bytes:
    """Values as little-endian bytes."""
    if datatype == "BYTES":
        return b"".join(LENGTH.pack(len(value.encode())) + value.encode() for value in values)
    if datatype == "BF16":  # the upper half of a float
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{len(values)}{FORMATS[datatype]}", *values)


def unpacked(datatype: str, raw: bytes) -> tuple[Any, ...]:
    """The values that bytes hold; raises ValueError when they hold no whole number of them."""
    if datatype == "BYTES":
        return _texts(raw)
    if datatype == "BF16":
        return tuple(struct.unpack("<f", b"\0\0" + raw[i : i + 2])[0] for i in range(0, len(raw), 2))
    size = struct.calcsize(f"<{FORMATS[datatype]}")
    if len(raw) % size:
        raise ValueError(f"{len(raw)} bytes are no whole number of {datatype}")
    return struct.unpack(f"<{len(raw) // size}{FORMATS[datatype]}", raw)


def _texts(raw: bytes) -> tuple[str, ...]:
    found = []
    at = 0
    while at < len(raw):
        if at + LENGTH.size > len(raw):
            raise ValueError("a length ends early")
        at, size = at + LENGTH.size, LENGTH.unpack_from(raw, at)[0]
        if at + size > len(raw):
            raise ValueError("an element ends early")
        found.append(raw[at : at + size].decode("utf-8", "replace"))
        at += size
    return tuple(found)


def nested(values: Sequence[Any], shape: Sequence[int]) -> Any:
    """The values as lists within lists, one level per dimension."""
    if len(shape) <= 1:
        return list(values)
    step = prod(shape[1:])
    return [nested(values[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def flat(data: Any) -> tuple[Any, ...]:
    """The values of lists within lists."""
    if not isinstance(data, list):
        return (data,)
    return tuple(value for item in data for value in flat(item))
