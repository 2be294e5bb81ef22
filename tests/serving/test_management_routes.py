import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.serving import logging_settings
from superserve_cli.serving.desk import Done
from superserve_cli.serving.fixtures import fixtures
from superserve_cli.serving.protocol import InferRequest, Tensor, Wanted, write_request
from superserve_cli.serving.refusals import Invalid
from superserve_cli.serving.shared_memory import ROOT, Place
from tests.serving.reading import read_response
from tests.serving.test_routes import INFER, Browser, asked

World = Callable[..., Any]


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world())


@pytest.fixture
def key() -> Iterator[str]:
    name = f"test_{os.getpid()}"
    path = ROOT / name
    path.write_bytes(np.ones(8, np.float32).tobytes() + bytes(64))
    yield name
    path.unlink()


def post(browser: Browser, path: str, body: object = b"") -> tuple[int, Any]:
    browser.post(path, body)
    status, _, answer = browser.answer()
    return status, json.loads(answer)


# versions and pins


@pytest.mark.parametrize(
    ("path", "parameters", "headers"),
    [
        ("/v2/models/net/versions/small/infer", {}, {}),
        (INFER, {"subnet": "small"}, {}),
        (INFER, {}, {"X_Superserve_Subnet": "small"}),
        ("/v2/models/net/versions/small/infer", {"subnet": "small"}, {"X_Superserve_Subnet": "small"}),
    ],
    ids=["version", "parameter", "header", "all"],
)
def test_a_request_may_name_the_subnet_that_answers_it(
    browser: Browser, path: str, parameters: Mapping[str, Any], headers: Mapping[str, Any]
) -> None:
    status, answer = browser.infer(asked(parameters=parameters), path=path, **headers)
    assert (status, answer["model_version"], answer["parameters"]["subnet"]) == (200, "small", "small")


def test_pins_that_disagree_or_that_nobody_serves_are_refused_with_the_names(browser: Browser) -> None:
    status, answer = browser.infer(asked(parameters={"subnet": "large"}), path="/v2/models/net/versions/small/infer")
    assert (status, answer) == (400, {"error": "version=small and subnet=large disagree"})
    assert browser.infer(asked(parameters={"subnet": "small"}), X_Superserve_Subnet="large")[0] == 400
    status, answer = browser.infer(asked(), path="/v2/models/net/versions/medium/infer")
    assert (status, answer["error"]) == (404, "the model 'net' has no version 'medium'; its versions are small, large")
    status, answer = browser.infer(asked(parameters={"subnet": "medium"}))
    assert (status, answer["error"]) == (400, "no subnet 'medium' is served; there are small, large")
    status, answer = browser.infer(asked(parameters={"subnet": "small", "min_accuracy": 0.85}))
    assert (status, answer["error"]) == (400, "subnet 'small' does not reach min_accuracy 0.85")


def test_who_asks_in_headers_is_answered_in_headers(browser: Browser) -> None:
    for header, said in (("X-Superserve-SLO-us: 20000\r\n", True), ("", False)):
        body = json.dumps(asked()).encode()
        browser._send(f"POST {INFER} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{header}\r\n".encode() + body)
        browser.world.advance(10)
        headers = browser.answer()[1]
        assert ("X-Superserve-subnet" in headers) == said
        if said:
            assert headers["X-Superserve-subnet"] == "large"
            assert headers["X-Superserve-slo-met"] == "true"
            assert headers["X-Superserve-queue-us"] == "0"


def test_the_best_classes_may_be_asked_for_instead_of_the_logits(browser: Browser) -> None:
    _, answer = browser.infer(asked(outputs=[{"name": "logits", "parameters": {"classification": 2}}]))
    assert answer["outputs"] == [{"name": "logits", "shape": [1, 2], "datatype": "BYTES", "data": ["8.000000:0", "8.000000:1"]}]


# configuration and repository


def test_the_configuration_says_what_the_model_takes_and_how_it_is_scheduled(browser: Browser) -> None:
    config = browser.get("/v2/models/net/config")[1]
    assert config == browser.get("/v2/models/net/versions/small/config")[1]
    assert (config["name"], config["max_batch_size"], config["platform"]) == ("net", 4, "superserve_supernet")
    assert config["input"] == [{"name": "input", "data_type": "TYPE_FP32", "dims": [2, 2, 2]}]
    assert config["output"] == [{"name": "logits", "data_type": "TYPE_FP32", "dims": [10]}]
    assert config["dynamic_batching"]["preferred_batch_size"] == [1, 2, 4]
    assert config["dynamic_batching"]["default_queue_policy"]["default_timeout_microseconds"] == 20_000
    assert config["parameters"] == {"policy": {"string_value": "max-accuracy"}}


def test_an_unloaded_model_takes_no_requests_until_it_is_loaded_and_answers_those_that_it_has(browser: Browser) -> None:
    index = "/v2/repository/index"
    browser.post(INFER, asked())
    other = Browser(browser.world)
    assert post(other, "/v2/repository/models/net/unload", {"parameters": {"unload_dependents": False}}) == (200, {})
    browser.world.advance(10)
    assert browser.answer()[0] == 200
    assert other.infer(asked()) == (503, {"error": "the model 'net' is not loaded"})
    assert other.get("/v2/models/net/ready") == (503, {"name": "net", "ready": False, "error": "unloaded"})
    assert other.get("/v2/health/ready")[0] == 503
    assert {(item["state"], item["reason"]) for item in post(other, index)[1]} == {("UNAVAILABLE", "unloaded")}
    assert post(other, index, {"ready": True}) == (200, [])
    assert post(other, "/v2/repository/models/net/load") == (200, {})
    assert other.infer(asked())[0] == 200
    assert len(post(other, index, {"ready": True})[1]) == 2


def test_loading_is_answered_when_it_is_done(browser: Browser) -> None:
    asked_of: list[tuple[Mapping[str, Any], Done]] = []
    browser.world.model.swap = lambda parameters, done: asked_of.append((parameters, done))
    browser.post("/v2/repository/models/net/load", {"parameters": {"config": "{}"}})
    assert not browser._wire.sent
    parameters, done = asked_of.pop()
    assert parameters == {"config": "{}"}
    done(None)
    assert browser.answer()[0] == 200
    browser.post("/v2/repository/models/net/load", b"")
    asked_of.pop()[1](Invalid("no such file"))
    assert browser.answer()[0] == 400
    assert browser.infer(asked())[0] == 200


def test_what_cannot_be_loaded_says_so(browser: Browser) -> None:
    status, answer = post(browser, "/v2/repository/models/other/load")
    assert (status, answer["error"]) == (404, "failed to load: there is no model 'other'; this server has 'net'")
    assert post(browser, "/v2/repository/models/net/load", {"parameters": {"config": "{}"}})[0] == 501
    assert post(browser, "/v2/repository/models/net/load", {"parameters": []})[0] == 400
    assert post(browser, "/v2/repository/models/net/load", b"{")[0] == 400
    assert post(browser, "/v2/repository/index", {"ready": "yes"})[0] == 400


# shared memory


def test_a_tensor_may_lie_in_shared_memory_and_its_answer_go_there(browser: Browser, key: str) -> None:
    region = "/v2/systemsharedmemory/region/a%20b"
    assert post(browser, f"{region}/register", {"key": f"/{key}", "byte_size": 96}) == (200, {})
    described = [{"name": "a b", "key": f"/{key}", "offset": 0, "byte_size": 96}]
    assert browser.get("/v2/systemsharedmemory/status") == browser.get(f"{region}/status") == (200, described)
    where = {"shared_memory_region": "a b", "shared_memory_byte_size": 32}
    there = {"shared_memory_region": "a b", "shared_memory_byte_size": 64, "shared_memory_offset": 32}
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 2, 2, 2], "parameters": where}
    status, answer = browser.infer({"inputs": [tensor], "outputs": [{"name": "logits", "parameters": there}]})
    assert (status, answer["outputs"]) == (
        200,
        [{"name": "logits", "shape": [1, 10], "datatype": "FP32", "parameters": {**there, "shared_memory_byte_size": 40}}],
    )
    assert np.frombuffer((ROOT / key).read_bytes(), np.float32)[8:18].tolist() == [8.0] * 10
    assert post(browser, "/v2/systemsharedmemory/unregister") == (200, {})
    assert browser.get("/v2/systemsharedmemory/status") == (200, [])
    assert browser.infer({"inputs": [tensor]})[0] == 404


def test_an_answer_whose_place_is_gone_when_it_comes_is_an_error(browser: Browser, key: str) -> None:
    other = Browser(browser.world)
    assert post(other, "/v2/systemsharedmemory/region/r/register", {"key": key, "byte_size": 96})[0] == 200
    browser.post(INFER, asked(outputs=[{"name": "logits", "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 40}}]))
    assert post(other, "/v2/systemsharedmemory/region/r/unregister")[0] == 200
    browser.world.advance(10)
    assert browser.answer()[0] == 404


def test_a_request_cannot_ask_for_more_shared_memory_than_it_might_send(browser: Browser, key: str) -> None:
    where = {"shared_memory_region": "r", "shared_memory_byte_size": 2**26}
    tensor = {"name": "input", "datatype": "FP32", "shape": [2**24], "parameters": where}
    assert browser.infer({"inputs": [tensor, tensor]})[0] in (404, 413)
    assert post(browser, "/v2/systemsharedmemory/region/r/register", {"key": key, "byte_size": 97})[0] == 400
    assert post(browser, "/v2/systemsharedmemory/region/r/register", {"key": 3})[0] == 400
    assert post(browser, "/v2/systemsharedmemory/region/r/register", {"key": f"{key}/../{key}", "byte_size": 1})[0] == 400


def test_only_clients_on_the_same_machine_share_memory(browser: Browser) -> None:
    assert "system_shared_memory" in browser.get("/v2")[1]["extensions"]
    browser.world.desk.regions.allowed = False
    assert "system_shared_memory" not in browser.get("/v2")[1]["extensions"]
    assert browser.get("/v2/systemsharedmemory/status")[0] == 501


def test_cuda_memory_is_not_shared_and_nothing_is_registered_of_it(browser: Browser) -> None:
    status, answer = post(browser, "/v2/cudasharedmemory/region/r/register", {"raw_handle": {"b64": ""}, "device_id": 0, "byte_size": 4})
    assert (status, list(answer)) == (501, ["error"])
    assert browser.get("/v2/cudasharedmemory/status") == (200, [])
    assert post(browser, "/v2/cudasharedmemory/unregister") == (200, {})


# logging, traces


@pytest.fixture
def unchanged_log() -> Iterator[None]:
    before = logging_settings.ROOT.level
    yield
    logging_settings.ROOT.setLevel(before)


@pytest.mark.usefixtures("unchanged_log")
def test_the_log_can_be_made_quieter_and_traces_are_not_kept(browser: Browser) -> None:
    before = browser.get("/v2/logging")[1]
    assert post(browser, "/v2/logging", before) == (200, before)
    assert post(browser, "/v2/logging", {"log_colour": 1})[0] == 400
    for path in ("/v2/trace/setting", "/v2/models/net/trace/setting"):
        status, answer = browser.get(path)
        assert (status, list(answer)) == (501, ["error"])


# compression


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_request_may_be_compressed_the_length_of_its_json_counting_the_inflated_bytes(
    browser: Browser, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    assert browser.infer(compress(json.dumps(asked()).encode()), Content_Encoding=coding)[0] == 200
    body, length = write_request(InferRequest((Tensor("input", "FP32", np.ones((1, 2, 2, 2), np.float32)),)))
    assert browser.infer(compress(body), Content_Encoding=coding, Inference_Header_Content_Length=str(length))[0] == 200
    assert browser.infer(compress(body), Content_Encoding=coding, Inference_Header_Content_Length="9999")[0] == 400
    assert browser.infer(b"not compressed", Content_Encoding=coding)[0] == 400
    assert browser.infer(compress(bytes(200_000)), Content_Encoding=coding)[0] == 413


def test_an_answer_is_compressed_only_when_asked_for_and_worth_it(world: World) -> None:
    browser = Browser(world())
    data = np.ones((4, 2, 2, 2), np.float32)
    request = InferRequest((Tensor("input", "FP32", data),), outputs=(Wanted("logits", False),), id="i" * 2000)
    body, length = write_request(request)
    for accepted in ("gzip", "identity"):
        browser.post(INFER, body, Inference_Header_Content_Length=str(length), Accept_Encoding=accepted)
        browser.world.advance(20)
        _, headers, answer = browser.answer()
        assert headers.get("Content-Encoding") == ("gzip" if accepted == "gzip" else None)
        read = read_response(gzip.decompress(answer) if accepted == "gzip" else answer)
        assert read.outputs[0].data.shape == (4, 10)
    browser.post(INFER, asked(outputs=[{"name": "logits", "parameters": {"classification": 1}}]), Accept_Encoding="gzip")
    browser.world.advance(20)
    assert "Content-Encoding" not in browser.answer()[1]


NAMES = st.sampled_from(["key", "offset", "byte_size", "parameters", "config", "ready", "log_info", "log_file", "log_verbose_level", "x"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
PLACES = (
    "repository/index",
    "repository/models/net/load",
    "repository/models/simple/load",
    "repository/models/net/unload",
    "systemsharedmemory/region/r/register",
    "systemsharedmemory/region/r/unregister",
    "cudasharedmemory/region/r/register",
    "logging",
    "trace/setting",
)


@settings(deadline=None)
@given(st.sampled_from(PLACES), st.dictionaries(NAMES, ANYTHING, max_size=4) | ANYTHING)
def test_whatever_is_asked_of_the_management_it_answers_or_refuses_and_the_server_goes_on(world: World, place: str, body: Any) -> None:
    before = logging_settings.ROOT.level
    server = world()
    server.desk.models.update(fixtures())
    browser = Browser(server)
    status, answer = post(browser, f"/v2/{place}", body)
    assert status in (200, 400, 501)
    assert status == 200 or list(answer) == ["error"]
    assert post(browser, "/v2/repository/models/net/load")[0] == 200
    assert browser.infer(asked())[0] == 200
    logging_settings.ROOT.setLevel(before)


@pytest.mark.parametrize("name", ["a/b", "ü", "%", "\n" * 5000])
def test_whatever_names_a_path_holds_the_answer_is_one_error(browser: Browser, name: str) -> None:
    for path in (
        "/v2/models/{}",
        "/v2/models/net/versions/{}/infer",
        "/v2/repository/models/{}/load",
        "/v2/systemsharedmemory/region/{}/status",
    ):
        status, answer = post(browser, path.format(quote(name, safe="")))
        assert status in (404, 405)
        assert list(answer) == ["error"]
        assert len(answer["error"]) < 1100


def test_a_place_is_where_it_was_asked_for(tmp_path: Path) -> None:
    asked_for = Wanted("logits", True, Place("r", 4))
    assert InferRequest((), outputs=(asked_for, Wanted("b", True))).placed() == {"logits": Place("r", 4)}
