from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, read_request, write_request, write_response
from superserve_cli.serving.refusals import Invalid
from superserve_cli.serving.tensors import BINARY_ONLY, DTYPES, classified, elements, from_bytes, from_json, to_bytes
from tests.serving.reading import read_response

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.text('ab"\\é☃', max_size=5)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn, binary: bool) -> Tensor:
    datatype = draw(st.sampled_from(sorted(DTYPES) if binary else sorted(DTYPES.keys() - set(BINARY_ONLY))))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        texts = st.binary(max_size=9) if binary else NAMES.map(str.encode)
        data = np.empty(shape, object)
        for at in np.ndindex(shape):
            data[at] = draw(texts)
        return Tensor(draw(NAMES), datatype, data)
    if datatype == "BF16":
        halves = draw(arrays.arrays("<u2", shape))
        return Tensor(draw(NAMES), datatype, from_bytes(datatype, list(shape), halves.tobytes(), 0, halves.nbytes))
    dtype = DTYPES[datatype]
    values = (
        arrays.from_dtype(dtype, allow_nan=False, allow_infinity=False) if dtype.kind == "f" and not binary else arrays.from_dtype(dtype)
    )
    return Tensor(draw(NAMES), datatype, draw(arrays.arrays(dtype, shape, elements=values)))


def same(left: Tensor, right: Tensor) -> bool:
    named = left[:2] == right[:2] and left.data.shape == right.data.shape
    if left.datatype == "BF16":  # of those that are no number, any is as good
        return named and np.array_equal(left.data, right.data, equal_nan=True)
    if left.datatype == "BYTES":
        return named and left.data.ravel().tolist() == right.data.ravel().tolist()
    return named and left.data.tobytes() == right.data.tobytes()


@UNHURRIED
@given(sent=st.lists(tensors(binary=True), max_size=3))
def test_binary_tensors_of_every_datatype_come_back_bit_by_bit(sent: list[Tensor]) -> None:
    read = read_request(*write_request(InferRequest(tuple(sent)), binary=True))
    assert all(same(a, b) for a, b in zip(sent, read.inputs, strict=True))


@UNHURRIED
@given(sent=st.lists(tensors(binary=False), max_size=3), id=NAMES)
def test_json_tensors_of_every_datatype_come_back_value_by_value(sent: list[Tensor], id: str) -> None:
    response = InferResponse("m", tuple(sent), id, "1", {"subnet": "s"})
    read = read_response(*write_response(response, [False] * len(sent)))
    assert read[:1] + read[2:] == response[:1] + response[2:]
    assert all(same(a, b) for a, b in zip(sent, read.outputs, strict=True))


@pytest.mark.parametrize(
    "shape", [None, 3, "3", [-1], [1.5], [True], [None], [2**60, 2**60], [2**62], [0, 2**62], [1] * 17], ids=lambda shape: str(shape)[:20]
)
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    with pytest.raises(Invalid):
        elements(shape)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", [1, 2, "3"]),
        ("FP32", [1, 2, None]),
        ("FP32", [[1, 2], [3]]),
        ("FP32", [1, 2]),
        ("FP32", [[1, 2, 3]]),
        ("FP32", [1, 2, 1e39]),
        ("FP32", [1, 2, 10**400]),
        ("FP64", ["1", "2", "3"]),
        ("FP16", [1, 2, 3]),
        ("INT8", [1, 2, 128]),
        ("UINT8", [1, 2, -1]),
        ("INT64", [1, 2, 2**63]),
        ("INT32", [1, 2, 1.5]),
        ("INT32", [1, 2, True]),
        ("BOOL", [True, False, 1]),
        ("BYTES", ["a", "b", 3]),
        ("BYTES", ["a", "b", "\ud800"]),
        ("FP32", {"0": 1}),
        ("FP32", None),
        ("FP32", 3),
    ],
)
def test_json_data_that_is_not_what_it_claims_is_refused(datatype: str, data: Any) -> None:
    with pytest.raises(Invalid):
        from_json(datatype, [3], data)


@given(st.floats(width=32, allow_nan=False))
def test_a_number_becomes_the_nearest_of_16_bits_and_of_two_the_even_one(value: float) -> None:
    bits = int.from_bytes(to_bytes("BF16", np.array([value], np.float32)), "little")
    with np.errstate(over="ignore"):
        around = [np.array([(bits + step) << 16], np.uint32).view(np.float32)[0] for step in (-1, 0, 1) if 0 <= bits + step < 2**16]
    distance = [abs(float(near) - value) for near in around if np.isfinite(near)]
    mine = np.array([bits << 16], np.uint32).view(np.float32)[0]
    assert not np.isfinite(mine) or abs(float(mine) - value) == min(distance)
    if distance.count(min(distance)) > 1:
        assert bits % 2 == 0


def test_what_is_no_number_stays_none_and_what_is_too_large_becomes_infinite() -> None:
    numbers = np.array([np.nan, -np.nan, np.inf, -np.inf, np.finfo(np.float32).max], np.float32)
    read = from_bytes("BF16", [5], to_bytes("BF16", numbers), 0, 10)
    np.testing.assert_array_equal(read, [np.nan, np.nan, np.inf, -np.inf, np.inf])


def test_classes_are_the_greatest_numbers_and_where_they_stand() -> None:
    rows = np.array([[0.5, 2, -1], [1, 1, 0]], np.float32)
    assert classified(rows, 2).tolist() == [[b"2.000000:1", b"0.500000:0"], [b"1.000000:0", b"1.000000:1"]]
    assert classified(rows, 9).shape == (2, 3)


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    assert from_json("INT32", [3], [1.0, 2, -3.0]).tolist() == [1, 2, -3]
    with pytest.raises(Invalid, match="int values"):
        from_json("INT32", [2], [1.0, 0.5])
    with pytest.raises(Invalid, match="fit"):
        from_json("INT8", [1], [1e300])


def test_integers_of_64_bits_are_exact() -> None:
    assert from_json("UINT64", [2], [2**64 - 1, 1]).tolist() == [2**64 - 1, 1]


@pytest.mark.parametrize(
    ("datatype", "shape", "body"),
    [
        ("FP32", [2], b"\0" * 7),
        ("FP32", [2], b"\0" * 12),
        ("BOOL", [1], b"\2"),
        ("BYTES", [1], b"\1\0\0"),
        ("BYTES", [1], b"\5\0\0\0abc"),
        ("BYTES", [1], b"\xff\xff\xff\xffabc"),
        ("BYTES", [2], b"\1\0\0\0a"),
        ("BYTES", [1], bytes(8)),
        ("BYTES", [2**18], bytes(2**20)),
    ],
)
def test_bytes_that_do_not_fill_the_shape_are_refused(datatype: str, shape: list[int], body: bytes) -> None:
    with pytest.raises(Invalid):
        from_bytes(datatype, shape, body, 0, len(body))
