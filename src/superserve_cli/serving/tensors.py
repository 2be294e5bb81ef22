"""One tensor of the Open Inference Protocol, as JSON or as little-endian bytes, and as a numpy array."""

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.serving.refusals import Invalid

DTYPES: Final = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<f4"),
    "BYTES": np.dtype("O"),
}
"""What a tensor is in numpy, which has no BF16: these are FP32 here, and the upper halves of it in a message."""
ITEM_BYTES: Final = {name: 2 if name == "BF16" else dtype.itemsize for name, dtype in DTYPES.items()}
BINARY_ONLY: Final = ("FP16", "BF16")
BF16_BITS: Final = np.uint32(16)
MOST_ELEMENTS: Final = 2**40
MOST_DIMENSIONS: Final = 16
MOST_TEXTS: Final = 2**17
"""Elements of BYTES in a binary tensor: each costs a Python object, which four bytes could ask for."""
LENGTH: Final = struct.Struct("<I")
Raw = bytes | memoryview
"""Bytes, wherever they were received."""


def elements(shape: object) -> int:
    """How many elements a shape has; raises Invalid for what is no shape."""
    if not isinstance(shape, list | tuple) or len(shape) > MOST_DIMENSIONS:
        raise Invalid(f"shape must be a list of at most {MOST_DIMENSIONS} sizes")
    count = bound = 1
    for size in shape:
        if type(size) is not int or size < 0:
            raise Invalid(f"shape {list(shape)} must hold integers of at least 0")
        count *= size
        bound *= size or 1  # numpy refuses what would be too large without its zeros
    if bound > MOST_ELEMENTS:
        raise Invalid(f"shape {list(shape)} is too large")
    return count


def from_bytes(datatype: str, shape: Sequence[int], body: Raw, start: int, size: int) -> NDArray[Any]:
    """The tensor that `body[start:start + size]` holds, row-major; numbers are a view of the body; raises Invalid."""
    count = elements(shape)
    if datatype == "BYTES":
        return _strings(bytes(body[start : start + size]), count).reshape(shape)
    dtype = DTYPES[datatype]
    if size != count * ITEM_BYTES[datatype]:
        raise Invalid(f"{datatype} of shape {list(shape)} takes {count * ITEM_BYTES[datatype]} bytes, not {size}")
    if datatype == "BOOL" and size and max(body[start : start + size]) > 1:
        raise Invalid("a BOOL must be 0 or 1")
    if not count:
        return np.empty(shape, dtype)
    if datatype == "BF16":
        return (np.frombuffer(body, "<u2", count, start).astype("<u4") << BF16_BITS).view(dtype).reshape(shape)
    return np.frombuffer(body, dtype, count, start).reshape(shape)


def _strings(raw: bytes, count: int) -> NDArray[Any]:
    if count > MOST_TEXTS:
        raise Invalid(f"{count} elements of BYTES are more than the {MOST_TEXTS} that a tensor may have")
    found: list[bytes] = []
    at = 0
    while at < len(raw) and len(found) <= count:
        length = LENGTH.unpack_from(raw, at)[0] if at + LENGTH.size <= len(raw) else len(raw)
        at += LENGTH.size + length
        if at > len(raw):
            raise Invalid("BYTES data ends within an element")
        found.append(raw[at - length : at])
    if len(found) != count:
        raise Invalid(f"BYTES data holds {'more' if len(found) > count else len(found)} elements, and its shape {count}")
    return _objects(found)


def _objects(values: list[bytes]) -> NDArray[Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def to_bytes(datatype: str, array: NDArray[Any]) -> bytes:
    """The binary form of a tensor."""
    if datatype == "BYTES":
        return b"".join(LENGTH.pack(len(value)) + value for value in array.flat)
    if datatype == "BF16":
        return _upper_halves(array.astype("<f4", copy=False)).tobytes()
    return array.astype(DTYPES[datatype], copy=False).tobytes()


def _upper_halves(array: NDArray[Any]) -> NDArray[Any]:
    """FP32 as BF16, to the nearest, ties to even; what is no number stays none, whose rounding could carry into the sign."""
    bits = np.ascontiguousarray(array).view("<u4")
    odd = (bits >> BF16_BITS) & np.uint32(1)
    rounded = np.where(np.isnan(array), bits | np.uint32(1 << 22), bits + np.uint32(0x7FFF) + odd)
    return (rounded >> BF16_BITS).astype("<u2")


def classified(array: NDArray[Any], most: int) -> NDArray[Any]:
    """Of rows of numbers (n, ...) the `most` greatest, greatest first, each as the text VALUE:INDEX (classification extension)."""
    rows = array.reshape(len(array), -1)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :most]
    texts = [f"{rows[row, at]:f}:{at}".encode() for row, order in enumerate(best.tolist()) for at in order]
    return _objects(texts).reshape(best.shape)


def from_json(datatype: str, shape: Sequence[int], data: object) -> NDArray[Any]:
    """The tensor of nested or flat JSON lists; raises Invalid."""
    count = elements(shape)
    if not isinstance(data, list):
        raise Invalid("data must be a list")
    if datatype in BINARY_ONLY:
        raise Invalid(f"{datatype} has no JSON form: send it as binary data")
    array = _floats(datatype, data) if datatype.startswith("FP") else _exact(datatype, data)
    if array.size != count or (array.ndim > 1 and array.shape != tuple(shape)):
        raise Invalid(f"data of shape {list(array.shape)} does not fill the shape {list(shape)}")
    return array.reshape(shape)


def _floats(datatype: str, data: list[Any]) -> NDArray[Any]:
    try:
        array = np.array(data)
    except ValueError:
        raise Invalid("data is a ragged list") from None
    if array.dtype.kind not in "fiu":
        raise Invalid(f"{datatype} data must be numbers, in lists of equal length")
    with np.errstate(over="ignore"):
        cast = array.astype(DTYPES[datatype])
    if not np.isfinite(cast).all():
        raise Invalid(f"a number in data is too large for {datatype}")
    return cast


def _exact(datatype: str, data: list[Any]) -> NDArray[Any]:
    array = np.array(data, dtype=object)
    flat = array.ravel().tolist()
    kind = {"BOOL": bool, "BYTES": str}.get(datatype, int)
    if kind is int:
        flat = _whole(flat)
    if any(type(value) is not kind for value in flat):
        raise Invalid(f"{datatype} data must be {'strings' if kind is str else f'{kind.__name__} values'}, in lists of equal length")
    if kind is str:
        return _objects([_utf8(value) for value in flat]).reshape(array.shape)
    if kind is int and flat and not holds(DTYPES[datatype], min(flat), max(flat)):
        raise Invalid(f"a number in data does not fit into {datatype}")
    return np.array(flat, dtype=DTYPES[datatype]).reshape(array.shape)


def _whole(values: list[Any]) -> list[Any]:
    """The same values, 1.0 as 1: JSON has one kind of numbers, and clients made from the specification may write each as a float."""
    if not any(type(value) is float for value in values):
        return values
    return [int(value) if type(value) is float and value.is_integer() else value for value in values]


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # JSON can escape half a surrogate pair
        raise Invalid(f"{text[:20]!r} is not text") from None


def holds(dtype: np.dtype[Any], least: int, most: int) -> bool:
    """Whether integers from one to another fit into a type."""
    limits = np.iinfo(dtype)
    return int(limits.min) <= least and most <= int(limits.max)


def to_json(datatype: str, array: NDArray[Any]) -> list[Any]:
    """The flat JSON list of a tensor; raises Invalid for what JSON cannot say."""
    if datatype in BINARY_ONLY:
        raise Invalid(f"{datatype} has no JSON form: ask for binary data")
    if datatype == "BYTES":
        try:
            return [value.decode() for value in array.flat]
        except UnicodeDecodeError:
            raise Invalid("the bytes are not text: ask for binary data") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Invalid("the tensor holds NaN or infinity, which JSON cannot say: use binary data")
    flat: list[Any] = array.ravel().tolist()
    return flat
