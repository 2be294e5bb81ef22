"""What goes out and what comes in, without a socket."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadOption
from superserve_cli.serving.load.answers import Answer, Broken, read_answer, read_complaint
from superserve_cli.serving.load.questions import Questions
from superserve_cli.serving.load.target import Target, parse
from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, read_request, write_response
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace


def target(binary: bool = True, datatype: str = "FP32", shape: tuple[int, ...] = (2,)) -> Target:
    return Target(parse("http://h:8000"), "127.0.0.1", "/v2/models/m/infer", "x", datatype, shape, binary, {"model": "m"})


def pairs(n: int = 6) -> Split:
    return Split(np.arange(2 * n, dtype=np.float32).reshape(n, 2), np.arange(n))


def received(message: bytes) -> InferRequest:
    """What a server reads from a message; its head must be right."""
    head, _, body = message.partition(b"\r\n\r\n")
    headers = dict(line.split(b": ") for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"POST /v2/models/m/infer HTTP/1.1\r\n")
    assert headers[b"Host"] == b"h:8000"
    assert int(headers[b"Content-Length"]) == len(body)
    length = headers.get(b"Inference-Header-Content-Length")
    return read_request(body, None if length is None else int(length))


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    floors=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    timeout_us=st.integers(1, 10**15),
    binary=st.booleans(),
)
def test_a_message_says_what_is_asked(sizes: list[int], floors: list[float], timeout_us: int, binary: bool) -> None:
    n = len(sizes)
    trace = Trace(np.zeros(n, np.int64), min_accuracy=np.array(floors[:n]), size=np.array(sizes, np.int32))
    questions = Questions(target(binary), trace, pairs())
    for id in range(n):
        request = received(questions.message(id, timeout_us))
        assert request.parameters["timeout"] == timeout_us
        assert request.parameters.get("min_accuracy", 0.0) == floors[id]
        assert request.binary_output == binary
        (tensor,) = request.inputs
        assert (tensor.name, tensor.data.shape) == ("x", (sizes[id], 2))
        assert (tensor.data[:, 0] / 2).astype(int).tolist() == questions.labels(id)


def test_every_sample_is_sent_before_one_is_sent_again() -> None:
    questions = Questions(target(), Trace(np.zeros(12, np.int64)), pairs(6))
    asked = [questions.labels(id) or [] for id in range(12)]
    assert sorted(asked[:6]) == [[y] for y in range(6)]
    assert asked[:6] == asked[6:]
    assert asked[:6] != sorted(asked[:6])


@pytest.mark.parametrize("datatype", ["BOOL", "INT32", "FP16", "FP64"])
def test_without_samples_zeros_of_the_models_own_type_are_sent(datatype: str) -> None:
    questions = Questions(target(datatype=datatype, shape=(3, -1)), Trace(np.zeros(1, np.int64)), None)
    (tensor,) = received(questions.message(0, 5)).inputs
    assert (tensor.datatype, tensor.data.shape) == (datatype, (1, 3, 1))
    assert not tensor.data.any()
    assert questions.labels(0) is None


def test_images_are_not_rounded_to_whole_numbers() -> None:
    with pytest.raises(BadOption, match="takes INT8"):
        Questions(target(datatype="INT8"), Trace(np.zeros(1, np.int64)), pairs())


@pytest.mark.parametrize("binary", [True, False])
def test_words_go_to_models_of_words_alone(binary: bool) -> None:
    samples = Split(np.arange(8).reshape(4, 2), np.arange(4))
    questions = Questions(target(binary, datatype="INT64"), Trace(np.zeros(4, np.int64)), samples)
    for id in range(4):
        (tensor,) = received(questions.message(id, 5)).inputs
        assert tensor.datatype == "INT64"
        assert [tensor.data[0, 0] // 2] == questions.labels(id)
    with pytest.raises(BadOption, match="takes FP32"):
        Questions(target(), Trace(np.zeros(1, np.int64)), samples)
    with pytest.raises(BadOption, match="takes INT64"):
        Questions(target(datatype="INT64"), Trace(np.zeros(1, np.int64)), pairs())


def test_text_models_are_refused() -> None:
    with pytest.raises(BadOption, match="takes BYTES"):
        Questions(target(datatype="BYTES"), Trace(np.zeros(1, np.int64)), None)


def test_what_has_no_json_form_is_refused_where_only_json_is_spoken() -> None:
    with pytest.raises(BadOption, match="FP16 has no JSON form"):
        Questions(target(binary=False, datatype="FP16"), Trace(np.zeros(1, np.int64)), None)


def answer(data: object, dtype: str, binary: bool, **parameters: Any) -> tuple[bytes, int | None]:
    tensor = Tensor("y", {"float32": "FP32", "int64": "INT64"}[dtype], np.array(data, dtype))
    return write_response(InferResponse("m", (tensor,), parameters=parameters), [binary])


@pytest.mark.parametrize("binary", [True, False])
def test_the_largest_output_is_the_class(binary: bool) -> None:
    body, length = answer([[0, 3, 1], [5, 0, 0]], "float32", binary)
    assert read_answer(body, length, [1, 0]).correct
    assert read_answer(body, length, [1, 2]).correct is False
    assert read_answer(body, length, None).correct is None


def test_a_single_output_is_the_class_itself() -> None:
    body, length = answer([4, 7], "int64", True)
    assert read_answer(body, length, [4, 7]).correct


def test_an_answer_names_what_served_it() -> None:
    body, length = answer([[1, 0]], "float32", True, subnet="d1", accuracy=0.5, batch_size=3, compute_us=2.5)
    assert read_answer(body, length, None) == Answer("d1", 0.5, 3, 2500, None)


def test_parameters_of_another_meaning_are_left_alone() -> None:
    body, length = answer([[1, 0]], "float32", True, subnet=3, accuracy="high", batch_size=1e300, compute_us=True)
    said = read_answer(body, length, None)
    assert (said.subnet, said.batch_size, said.compute_ns) == (None, -1, -1)
    assert np.isnan(said.accuracy)


@given(body=st.binary(max_size=40), length=st.none() | st.integers(0, 60), labels=st.none() | st.just([1]))
def test_any_bytes_are_an_answer_or_broken(body: bytes, length: int | None, labels: list[int] | None) -> None:
    with pytest.raises(Broken):
        read_answer(body, length, labels)


@pytest.mark.parametrize(
    "said",
    [
        {"outputs": []},
        {"outputs": [{}]},
        {"outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]},
        {"outputs": [{"name": "y", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]}]},
        {"outputs": [{"name": "y", "shape": [], "datatype": "FP32", "data": [1]}]},
        {"outputs": [{"name": "y", "shape": [1, 0], "datatype": "FP32", "data": []}]},
        {"outputs": [{"name": "y", "shape": [1, 1], "datatype": "BYTES", "data": ["cat"]}]},
        {"outputs": 3},
        [],
    ],
)
def test_outputs_that_are_not_there_are_broken(said: object) -> None:
    text = json.dumps(said).encode()
    with pytest.raises(Broken):
        read_answer(text, len(text), [1])


def test_a_refusal_is_quoted_in_one_line() -> None:
    assert read_complaint(400, b'{"error": "no such\\n model"}') == "status 400: no such model"
    assert read_complaint(502, b"<html>\nbad gateway") == "status 502: <html> bad gateway"
    assert read_complaint(500, b"") == "status 500"
