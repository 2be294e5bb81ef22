from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from superserve_cli.serving.model import Model
from superserve_cli.serving.protocol import InferRequest, Tensor, read_request, write_request
from superserve_cli.serving.refusals import Invalid

WORDS = Model("m", "h", (4,), 2, datatype="INT64", vocabulary=(10, 2))
PAIRS = Model("m", "h", (2, 3), 2, datatype="INT64", vocabulary=(10, 2))
IMAGES = Model("m", "h", (1, 2, 2), 2)


def request(data: NDArray[Any], datatype: str = "INT64") -> InferRequest:
    return InferRequest((Tensor("input", datatype, data),))


@given(words=st.lists(st.integers(-3, 12), min_size=4, max_size=4), binary=st.booleans())
def test_words_that_the_model_knows_are_taken_and_others_refused(words: list[int], binary: bool) -> None:
    asked = read_request(*write_request(request(np.array([words])), binary))
    if all(0 <= word < 10 for word in words):
        assert WORDS.rows(asked).tolist() == [words]
        assert WORDS.raw_input(np.array(words).tobytes()).data.tolist() == [words]
        return
    with pytest.raises(Invalid, match="words are numbers from 0 to 9, not"):
        WORDS.rows(asked)
    with pytest.raises(Invalid, match="words are numbers from 0 to 9, not"):
        WORDS.rows(InferRequest((WORDS.raw_input(np.array(words).tobytes()),)))


def test_types_of_words_are_looked_up_too() -> None:
    assert PAIRS.rows(request(np.array([[[9, 9, 0], [1, 0, 1]]]))).shape == (1, 2, 3)
    with pytest.raises(Invalid, match="types of words are numbers from 0 to 1, not 0 to 2"):
        PAIRS.rows(request(np.array([[[9, 9, 0], [1, 0, 2]]])))


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i4"])
def test_words_come_as_int64_alone(dtype: str) -> None:
    names = {"<f4": "FP32", "<f8": "FP64", "<i4": "INT32"}
    with pytest.raises(Invalid, match=r"must be INT64 of shape \[-1, 4\], not"):
        WORDS.rows(request(np.ones((1, 4), dtype), names[dtype]))


def test_images_come_as_fp32_alone() -> None:
    with pytest.raises(Invalid, match=r"must be FP32 of shape \[-1, 1, 2, 2\], not INT64"):
        IMAGES.rows(request(np.ones((1, 1, 2, 2), np.int64)))


def test_half_a_row_of_words_is_refused() -> None:
    assert WORDS.raw_input(b"\0" * 64).data.shape == (2, 4)
    with pytest.raises(Invalid, match="whole rows of INT64"):
        WORDS.raw_input(b"\0" * 16)


def test_rows_are_views_of_what_came() -> None:
    for model, dtype in ((WORDS, np.int64), (IMAGES, np.float32)):
        body = np.ones((3, *model.shape), dtype).tobytes()
        assert np.shares_memory(model.raw_input(body).data, np.frombuffer(body, np.uint8))


def test_the_metadata_name_the_datatype_of_the_input() -> None:
    assert WORDS.described()["inputs"] == [{"name": "input", "datatype": "INT64", "shape": [-1, 4]}]
    assert IMAGES.described()["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 2, 2]}]
    assert WORDS.described()["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 2]}]
