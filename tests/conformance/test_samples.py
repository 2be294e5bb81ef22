from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.conformance.samples import DATATYPES, flat, nested, packed, sample, unpacked

SHAPES = st.lists(st.integers(-1, 3), max_size=4)


@given(datatype=st.sampled_from(sorted(DATATYPES)), shape=SHAPES, rows=st.integers(1, 3))
def test_a_sample_fills_its_shape_and_comes_back_from_its_bytes(datatype: str, shape: list[int], rows: int) -> None:
    tensor = sample("x", datatype, shape, rows)
    assert all(size >= 0 for size in tensor.shape)
    assert len(tensor.values) == prod(tensor.shape)
    assert unpacked(datatype, tensor.raw()) == tensor.values


@given(shape=st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_nesting_keeps_the_order_of_the_values(shape: list[int]) -> None:
    values = tuple(range(prod(shape)))
    assert flat(nested(values, shape)) == values


@pytest.mark.parametrize(("datatype", "raw"), [("FP32", b"\0\0\0"), ("BYTES", b"\1\0"), ("BYTES", b"\5\0\0\0ab")])
def test_bytes_that_hold_no_whole_tensor_are_refused(datatype: str, raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"whole|early"):
        unpacked(datatype, raw)


@pytest.mark.parametrize(("datatype", "values", "raw"), [("INT32", [1, -1], b"\1\0\0\0\xff\xff\xff\xff"), ("BYTES", ["ab"], b"\2\0\0\0ab")])
def test_bytes_are_little_endian(datatype: str, values: list[Any], raw: bytes) -> None:
    assert packed(datatype, values) == raw
