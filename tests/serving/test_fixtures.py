"""The fixture models as standard clients' examples use them; and any other use is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.fixtures import Fixture, fixtures
from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, Wanted
from superserve_cli.serving.refusals import Busy, Invalid, Refusal, Unsupported
from tests.serving.reading import read_response
from tests.serving.test_routes import Browser

World = Callable[..., Any]
INTS = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=16, max_size=16)
SMALL = st.lists(st.integers(-(10**9) + 1, 10**9 - 1), min_size=16, max_size=16)


class Caller:
    """Keeps the answer."""

    response: InferResponse

    def answered(self, response: InferResponse) -> None:
        self.response = response

    def refused(self, refusal: Refusal) -> None:
        raise refusal


def infer(fixture: Fixture, inputs: dict[str, Any], datatype: str, version: str = "", **more: Any) -> dict[str, Any]:
    """The outputs by name."""
    caller = Caller()
    tensors = tuple(Tensor(name, datatype, data) for name, data in inputs.items())
    fixture.infer(InferRequest(tensors, **more), version, {}, caller)
    assert (caller.response.model_name, caller.response.model_version) == (fixture.name, "1")
    return {tensor.name: tensor.data for tensor in caller.response.outputs}


def texts(numbers: list[int]) -> Any:
    array = np.empty((1, len(numbers)), object)
    array[0] = [str(number).encode() for number in numbers]
    return array


def ones(rows: int = 1, width: int = 16) -> dict[str, Any]:
    return dict.fromkeys(("INPUT0", "INPUT1"), np.ones((rows, width), np.int32))


@given(INTS, INTS)
def test_simple_adds_and_subtracts_as_32_bits_do(first: list[int], second: list[int]) -> None:
    inputs = {"INPUT1": np.array([second], np.int32), "INPUT0": np.array([first], np.int32)}
    outputs = infer(fixtures()["simple"], inputs, "INT32")
    assert outputs["OUTPUT0"].dtype == np.int32
    assert outputs["OUTPUT0"].tolist() == (inputs["INPUT0"] + inputs["INPUT1"]).tolist()
    assert outputs["OUTPUT1"].tolist() == (inputs["INPUT0"] - inputs["INPUT1"]).tolist()


@given(SMALL, SMALL)
def test_simple_string_does_the_same_in_decimal(first: list[int], second: list[int]) -> None:
    outputs = infer(fixtures()["simple_string"], {"INPUT0": texts(first), "INPUT1": texts(second)}, "BYTES")
    assert [int(text) for text in outputs["OUTPUT0"][0]] == [a + b for a, b in zip(first, second, strict=True)]
    assert [int(text) for text in outputs["OUTPUT1"][0]] == [a - b for a, b in zip(first, second, strict=True)]


def test_simple_identity_gives_back_what_it_gets() -> None:
    data = np.array([[b"\xff\0", b""]], object)
    assert infer(fixtures()["simple_identity"], {"INPUT0": data}, "BYTES", version="1")["OUTPUT0"].tolist() == data.tolist()


@pytest.mark.parametrize(
    ("inputs", "more"),
    [
        (ones(rows=9), {}),
        (ones(rows=0), {}),
        (ones(width=15), {}),
        ({"INPUT0": ones()["INPUT0"]}, {}),
        ({**ones(), "INPUT2": ones()["INPUT0"]}, {}),
        ({**ones(), "INPUT1": ones(rows=2)["INPUT0"]}, {}),
        (ones(), {"outputs": (Wanted("OUTPUT2", True),)}),
        (ones(), {"outputs": (Wanted("OUTPUT0", True), Wanted("OUTPUT0", True))}),
        (ones(), {"outputs": (Wanted("OUTPUT0", True, classes=2),)}),
        (ones(), {"parameters": {"timeout": 0}}),
        (ones(), {"parameters": {"subnet": "small"}}),
        (ones(), {"parameters": {"min_accuracy": 0.5}}),
    ],
)
def test_other_tensors_and_objectives_are_refused_and_counted(inputs: dict[str, Any], more: dict[str, Any]) -> None:
    simple = fixtures()["simple"]
    with pytest.raises(Invalid):
        infer(simple, inputs, "INT32", **more)
    (entry,) = simple.statistics()
    assert (entry["inference_stats"]["fail"]["count"], entry["inference_count"]) == (1, 0)


@pytest.mark.parametrize("text", [b"", b"-", b"x", b"1.5", b"1" * 10, b"--1", b"\xb2"])
def test_a_text_that_is_no_number_is_refused(text: bytes) -> None:
    inputs = {name: np.full((1, 16), text, object) for name in ("INPUT0", "INPUT1")}
    with pytest.raises(Invalid, match="no decimal number"):
        infer(fixtures()["simple_string"], inputs, "BYTES")


def test_a_fixture_can_be_loaded_with_another_batch_size_and_unloaded() -> None:
    simple, done = fixtures()["simple"], list[Refusal | None]()
    simple.load({"config": '{"max_batch_size": "16"}'}, done.append)
    assert simple.config()["max_batch_size"] == 16
    infer(simple, ones(rows=16), "INT32")
    simple.unload(done.append)
    with pytest.raises(Busy, match="not loaded"):
        infer(simple, ones(), "INT32")
    simple.load({}, done.append)
    assert simple.config()["max_batch_size"] == 8
    assert done == [None] * 3


NO_CONFIGS = ["max_batch_size", 3, '{"max_batch_size": []}', '{"max_batch_size": 0}']


@pytest.mark.parametrize("parameters", [*({"config": config} for config in NO_CONFIGS), {"file:1/m": ""}], ids=str)
def test_a_fixture_is_loaded_with_nothing_else(parameters: dict[str, Any]) -> None:
    simple = fixtures()["simple"]
    with pytest.raises((Invalid, Unsupported), match="failed to load"):
        simple.load(parameters, lambda refusal: None)
    infer(simple, ones(), "INT32")


def test_a_raw_body_is_a_single_text() -> None:
    identity = fixtures()["simple_identity"]
    assert identity.raw(b"abc").inputs[0].data.tolist() == [[b"abc"]]
    with pytest.raises(Invalid):
        fixtures()["simple"].raw(b"abc")


def test_fixtures_stand_beside_the_supernet(world: World) -> None:
    server = world()
    server.desk.models.update(fixtures())
    browser = Browser(server)
    data = [{"name": name, "datatype": "INT32", "shape": [1, 16], "data": list(range(16))} for name in ("INPUT0", "INPUT1")]
    status, answer = browser.infer({"inputs": data, "parameters": {"timeout": 1}}, path="/v2/models/simple/versions/1/infer")
    assert (status, answer["outputs"][0]["data"]) == (200, [2 * i for i in range(16)])
    browser.post("/v2/models/simple_identity/infer", b"\xff", Inference_Header_Content_Length="0")
    _, headers, body = browser.answer()
    assert read_response(body, int(headers["Inference-Header-Content-Length"])).outputs[0].data.tolist() == [[b"\xff"]]
    names = [entry["name"] for entry in browser.get("/v2/models/stats")[1]["model_stats"]]
    assert names == ["net", "net", "simple", "simple_string", "simple_identity"]
    assert browser.get("/v2/models/simple")[1]["inputs"][1] == {"name": "INPUT1", "datatype": "INT32", "shape": [-1, 16]}
