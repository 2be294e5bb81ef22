"""What goes out and what comes in, without a socket."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadFile, BadOption, SuperserveError
from superserve_cli.serving.load.answers import Answer, Broken, read_answer, read_complaint
from superserve_cli.serving.load.inputs import NUMBERS, Draw, draw
from superserve_cli.serving.load.place import Access, parse
from superserve_cli.serving.load.questions import HttpQuestions, Pieces
from superserve_cli.serving.load.rpc_questions import RpcQuestions, varint
from superserve_cli.serving.load.target import Input, Target
from superserve_cli.serving.load.wire import Buffer
from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, read_request, write_response
from superserve_cli.serving.rpc.messages import InferParameter, ModelInferRequest, ModelInferResponse
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace


def target(binary: bool = True, datatype: str = "FP32", shape: tuple[int, ...] = (2,)) -> Target:
    return Target(parse("http://h:8000"), "127.0.0.1", "/v2/models/m/infer", "m", (Input("x", datatype, shape),), binary, {})


def pairs(n: int = 6) -> Split:
    return Split(np.arange(2 * n, dtype=np.float32).reshape(n, 2), np.arange(n))


def drawn(n: int = 1, where: Target | None = None, samples: Split | None = None, **columns: Any) -> Draw:
    return draw(where or target(), Trace(np.zeros(n, np.int64), **columns), samples)


def received(message: Sequence[Buffer]) -> InferRequest:
    """What a server reads from a message; its head must be right."""
    head, _, body = b"".join(message).partition(b"\r\n\r\n")
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
    asked = drawn(n, samples=pairs(), min_accuracy=np.array(floors[:n]), size=np.array(sizes, np.int32))
    questions = HttpQuestions(target(binary), {}, asked)
    for id in range(n):
        request = received(questions.message(id, timeout_us))
        assert request.parameters["timeout"] == timeout_us
        assert request.parameters.get("min_accuracy", 0.0) == floors[id]
        assert request.binary_output == binary
        (tensor,) = request.inputs
        assert (tensor.name, tensor.data.shape) == ("x", (sizes[id], 2))
        assert (tensor.data[:, 0] / 2).astype(int).tolist() == Pieces(asked).labels(id)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    floors=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    timeout_us=st.integers(1, 10**15),
)
def test_a_message_of_grpc_says_the_same(sizes: list[int], floors: list[float], timeout_us: int) -> None:
    n = len(sizes)
    asked = drawn(n, samples=pairs(), min_accuracy=np.array(floors[:n]), size=np.array(sizes, np.int32))
    questions = RpcQuestions(target(), asked)
    for id in range(n):
        message = b"".join(questions.message(id, timeout_us))
        assert (message[0], int.from_bytes(message[1:5], "big")) == (0, len(message) - 5)
        request = ModelInferRequest.FromString(message[5:])
        assert request.parameters["timeout"].int64_param == timeout_us
        assert ("min_accuracy" in request.parameters) == (floors[id] > 0)
        assert request.parameters["min_accuracy"].double_param == floors[id]
        assert (request.model_name, request.inputs[0].name, list(request.inputs[0].shape)) == ("m", "x", [sizes[id], 2])
        rows = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(sizes[id], 2)
        assert (rows[:, 0] / 2).astype(int).tolist() == Pieces(asked).labels(id)


@given(number=st.integers(0, 2**63 - 1))
def test_a_varint_is_read_as_the_number_it_was(number: int) -> None:
    assert ModelInferResponse.FromString(b"\x22\x05\x0a\x01a\x12\x00").parameters["a"].int64_param == 0
    value = b"\x10" + varint(number)
    assert InferParameter.FromString(value).int64_param == number


def test_every_sample_is_sent_before_one_is_sent_again() -> None:
    pieces = Pieces(drawn(12, samples=pairs(6)))
    asked = [pieces.labels(id) or [] for id in range(12)]
    assert sorted(asked[:6]) == [[y] for y in range(6)]
    assert asked[:6] == asked[6:]
    assert asked[:6] != sorted(asked[:6])


def test_a_part_of_a_schedule_sends_what_the_whole_would_have() -> None:
    asked = drawn(12, samples=pairs(6), size=np.arange(1, 13, dtype=np.int32) % 3 + 1)
    whole, parts = Pieces(asked), [Pieces(asked.part(slice(first, None, 3))) for first in range(3)]
    assert [whole.raw(id) for id in range(12)] == [parts[id % 3].raw(id // 3) for id in range(12)]


@pytest.mark.parametrize("datatype", list(NUMBERS))
def test_without_samples_varied_rows_of_the_models_own_type_are_sent(datatype: str) -> None:
    where = target(datatype=datatype, shape=(3, -1, 40))
    questions = HttpQuestions(where, {}, drawn(20, where))
    sent = [received(questions.message(id, 5)).inputs[0] for id in range(20)]
    assert {(tensor.datatype, tensor.data.shape) for tensor in sent} == {(datatype, (1, 3, 1, 40))}
    assert len({tensor.data.tobytes() for tensor in sent}) == 20
    assert b"".join(HttpQuestions(where, {}, drawn(20, where)).message(0, 5)) == b"".join(questions.message(0, 5))
    assert Pieces(drawn(1, where)).labels(0) is None


def test_json_says_random_numbers_briefly_and_exactly() -> None:
    where = target(binary=False, shape=(100,))
    asked = drawn(1, where)
    message = b"".join(HttpQuestions(where, {}, asked).message(0, 5))
    assert len(message) < 1500
    assert received([message]).inputs[0].data.tobytes() == Pieces(asked).raw(0)[0]


def test_a_model_of_several_inputs_gets_them_all() -> None:
    inputs = (Input("a", "INT32", (4,)), Input("b", "FP32", (2, 2)))
    for binary in (True, False):
        where = replace(target(binary), inputs=inputs)
        a, b = received(HttpQuestions(where, {}, drawn(1, where)).message(0, 5)).inputs
        assert (a.name, a.data.shape, b.name, b.data.shape) == ("a", (1, 4), "b", (1, 2, 2))
    request = ModelInferRequest.FromString(b"".join(RpcQuestions(where, drawn(1, where)).message(0, 5))[5:])
    assert [len(raw) for raw in request.raw_input_contents] == [16, 16]
    with pytest.raises(BadOption, match="takes 2 inputs"):
        drawn(1, where, pairs())


def test_a_model_whose_rows_are_fixed_gets_its_own_shape() -> None:
    where = replace(target(), inputs=(Input("x", "FP32", (1, 2), stacked=False),))
    (tensor,) = received(HttpQuestions(where, {}, drawn(1, where, pairs())).message(0, 5)).inputs
    assert tensor.data.shape == (1, 2)
    with pytest.raises(BadOption, match="a fixed number of rows"):
        drawn(1, where, size=np.array([2], np.int32))


def test_rows_of_ones_own_come_from_a_file(tmp_path: Path) -> None:
    where = replace(target(), inputs=(Input("a", "UINT8", (-1,)), Input("b", "FP32", ())))
    np.savez(tmp_path / "rows.npz", a=np.arange(6, dtype=np.uint8).reshape(2, 3), b=np.ones(2, np.float32))
    asked = draw(where, Trace(np.zeros(2, np.int64)), None, tmp_path / "rows.npz")
    assert {bytes(Pieces(asked).raw(id)[0]) for id in range(2)} == {b"\0\1\2", b"\3\4\5"}
    np.save(tmp_path / "rows.npy", np.arange(4, dtype=np.float32).reshape(2, 2))
    assert draw(target(), Trace(np.zeros(1, np.int64)), None, tmp_path / "rows.npy").tensors[0].shape == (2, 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((2, 2), np.float32)}, "lacks the inputs x of m"),
        ({"x": np.zeros((2, 3), np.float32)}, r"takes tensors of shape \[2\], the samples have \[3\]"),
        ({"x": np.zeros((2, 2), np.float64)}, "takes FP32, and the file's array is float64"),
        ({"x": np.zeros((0, 2), np.float32)}, "same number of rows"),
        ({"x": np.array(3.0, np.float32)}, "takes tensors of shape"),
        ({"x": np.array([None])}, "cannot be read as arrays"),
    ],
)
def test_a_file_that_does_not_fit_the_model_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(SuperserveError, match=message):
        draw(target(), Trace(np.zeros(1, np.int64)), None, tmp_path / "rows.npz")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"nonsense", None])
def test_a_file_that_is_none_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(BadFile, match="cannot be read as arrays"):
        draw(target(), Trace(np.zeros(1, np.int64)), None, tmp_path / "rows.npz")


def test_a_key_stands_in_every_head() -> None:
    message = HttpQuestions(target(), Access("s3cret").headers, drawn()).message(0, 5)
    assert b"\r\nauthorization: Bearer s3cret\r\n" in b"".join(message)


def test_images_are_not_rounded_to_whole_numbers() -> None:
    with pytest.raises(BadOption, match="takes INT8"):
        drawn(1, target(datatype="INT8"), pairs())


@pytest.mark.parametrize("binary", [True, False])
def test_words_go_to_models_of_words_alone(binary: bool) -> None:
    samples = Split(np.arange(8).reshape(4, 2), np.arange(4))
    asked = drawn(4, target(binary, datatype="INT64"), samples)
    questions = HttpQuestions(target(binary, datatype="INT64"), {}, asked)
    for id in range(4):
        (tensor,) = received(questions.message(id, 5)).inputs
        assert tensor.datatype == "INT64"
        assert [tensor.data[0, 0] // 2] == Pieces(asked).labels(id)
    with pytest.raises(BadOption, match="takes FP32"):
        drawn(1, target(), samples)
    with pytest.raises(BadOption, match="takes INT64"):
        drawn(1, target(datatype="INT64"), pairs())


@pytest.mark.parametrize("datatype", ["BYTES", "BF16", "FP8"])
def test_models_of_what_cannot_be_drawn_are_refused(datatype: str) -> None:
    with pytest.raises(BadOption, match=f"takes {datatype}"):
        drawn(1, target(datatype=datatype))


def test_what_has_no_json_form_is_refused_where_only_json_is_spoken() -> None:
    where = target(binary=False, datatype="FP16")
    with pytest.raises(BadOption, match="FP16 has no JSON form"):
        HttpQuestions(where, {}, drawn(1, where))


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


def rpc_answer(raw: bool = True, **fields: Any) -> bytes:
    response = ModelInferResponse(model_name="m")
    response.outputs.add(name="y", datatype="FP32", shape=[2, 2])
    if raw:
        response.raw_output_contents.append(np.array([0, 1, 1, 0], np.float32).tobytes())
    else:
        response.outputs[0].contents.fp32_contents.extend([0, 1, 1, 0])
    response.parameters["subnet"].string_param = "d1"
    response.parameters["accuracy"].double_param = 0.5
    response.parameters["batch_size"].int64_param = 3
    response.parameters["compute_us"].double_param = 2.5
    written: bytes = response.SerializeToString()
    return written


@pytest.mark.parametrize("raw", [True, False])
def test_an_answer_of_grpc_says_the_same_as_one_of_http(raw: bool) -> None:
    samples = Split(np.zeros((2, 2), np.float32), np.array([1, 0]))
    asked = drawn(1, samples=samples, size=np.array([2], np.int32))
    questions = RpcQuestions(target(), asked)
    assert questions.answer(0, rpc_answer(raw), None) == Answer("d1", 0.5, 3, 2500, True)
    with pytest.raises(Broken):
        questions.answer(0, rpc_answer(raw)[:-1], None)
    with pytest.raises(Broken):
        questions.answer(0, b"", None)
