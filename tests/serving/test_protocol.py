import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, Wanted, read_request, write_request, write_response
from superserve_cli.serving.refusals import Invalid

FOUR = np.arange(4, dtype=np.float32).reshape(1, 4)


def request(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}], **changes}


def tensor(**changes: Any) -> dict[str, Any]:
    return request(inputs=[{**request()["inputs"][0], **changes}])


def test_a_request_keeps_its_id_parameters_and_outputs() -> None:
    sent = InferRequest((Tensor("x", "FP32", FOUR),), "7", {"timeout": 5}, (Wanted("a", True), Wanted("b", False)))
    read = read_request(*write_request(sent))
    assert read[1:] == sent[1:]
    assert (read.inputs[0].data == FOUR).all()


def test_an_output_says_itself_whether_it_is_binary_else_the_request_does() -> None:
    asked = {"parameters": {"binary_data_output": True}, "outputs": [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}]}
    read = read_request(json.dumps(request(**asked)).encode())
    assert [read.as_bytes(name) for name in "abc"] == [False, True, True]


def test_nested_data_are_row_major() -> None:
    read = read_request(json.dumps(tensor(shape=[2, 2], data=[[1, 2], [3, 4]])).encode())
    assert read.inputs[0].data.tolist() == [[1, 2], [3, 4]]


def test_binary_and_json_tensors_may_stand_in_one_request() -> None:
    inputs = [
        {"name": "a", "datatype": "UINT8", "shape": [2], "parameters": {"binary_data_size": 2}},
        {"name": "b", "datatype": "INT32", "shape": [1], "data": [5]},
        {"name": "c", "datatype": "UINT8", "shape": [1], "parameters": {"binary_data_size": 1}},
    ]
    head = json.dumps({"inputs": inputs}).encode()
    read = read_request(head + b"\1\2\3", len(head))
    assert [t.data.tolist() for t in read.inputs] == [[1, 2], [5], [3]]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"inputs": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "not JSON"),
        (request(inputs={}), "inputs must be a list"),
        (request(inputs=[3]), "an object with a name"),
        (request(inputs=[{"name": 3}]), "an object with a name"),
        (request(id=3), "id must be a string"),
        (request(parameters=[]), "parameters must be an object"),
        (request(parameters={"binary_data_output": 1}), "binary_data_output must be true or false"),
        (request(outputs=[3]), "an output must be"),
        (request(outputs=[{"name": "a", "parameters": {"classification": -3}}]), "classification must be"),
        (request(outputs=[{"name": "a", "parameters": {"shared_memory_region": "r"}}]), "output 'a': shared_memory_region must"),
        (request(outputs=[{"name": "a"}] * 65), "65 tensors are more than"),
        (request(inputs=request()["inputs"] * 65), "65 tensors are more than"),
        (tensor(parameters={"shared_memory_region": "r", "shared_memory_byte_size": 16}), "no data beside it"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not JSON"),
        (tensor(datatype="FP31"), "datatype 'FP31' is none of"),
        (tensor(datatype=None), "datatype None"),
        (tensor(datatype=[]), "datatype"),
        (tensor(shape=[1, 5]), "does not fill"),
        (tensor(shape=[-1, 4]), "integers of at least 0"),
        (tensor(data=None), "data must be a list"),
        (tensor(parameters={"binary_data_size": 0}), "instead of data"),
        (tensor(parameters={"binary_data_size": "16"}), "must be an integer"),
        (tensor(parameters={"binary_data_size": True}), "must be an integer"),
    ],
)
def test_a_request_that_cannot_be_understood_says_why(body: Any, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read_request(body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(("extra", "length"), [(b"", 10_000), (b"x", None), (b"", -1)])
def test_a_header_length_that_does_not_fit_the_body_is_refused(extra: bytes, length: int | None) -> None:
    body, header = write_request(InferRequest((Tensor("x", "FP32", FOUR),)))
    with pytest.raises(Invalid):
        read_request(body + extra, header if length is None else length)


@given(st.binary(max_size=200), st.none() | st.integers(-5, 300))
def test_arbitrary_bytes_are_a_request_or_invalid_and_nothing_else(body: bytes, length: int | None) -> None:
    with suppress(Invalid):
        assert isinstance(read_request(body, length), InferRequest)


def test_an_answer_that_json_cannot_say_is_refused_and_can_be_had_in_binary() -> None:
    answer = InferResponse("m", (Tensor("y", "FP32", np.array([np.nan], np.float32)),))
    with pytest.raises(Invalid, match="binary"):
        write_response(answer, [False])
    body, header = write_response(answer, [True])
    assert header == len(body) - 4
