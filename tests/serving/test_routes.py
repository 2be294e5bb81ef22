import asyncio
import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.serving.protocol import InferRequest, Tensor, write_request
from tests.serving.reading import read_response

World = Callable[..., Any]
INFER = "/v2/models/net/infer"
ROW = [1.0] * 8


class Browser:
    """Speaks HTTP to a world, one request at a time."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self._send, self._wire, self.hang_up = world.connect()

    def post(self, path: str, body: bytes | object, method: str = "POST", **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._send(f"{method} {path} HTTP/1.1\r\nContent-Length: {len(raw)}\r\n{lines}\r\n".encode() + raw)

    def answer(self) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the answer that has come."""
        head, _, body = bytes(self._wire.sent).partition(b"\r\n\r\n")
        self._wire.sent.clear()
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body

    def get(self, path: str, method: str = "GET") -> tuple[int, Any]:
        self.post(path, b"", method)
        status, _, body = self.answer()
        return status, json.loads(body) if body else None

    def infer(self, body: object, wait_ms: float = 100, path: str = INFER, **headers: str) -> tuple[int, Any]:
        self.post(path, body, **headers)
        self.world.advance(wait_ms)
        status, _, answer = self.answer()
        return status, json.loads(answer)


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world())


def asked(rows: int = 1, **changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "input", "datatype": "FP32", "shape": [rows, 2, 2, 2], "data": ROW * rows}], **changes}


def with_input(**changes: Any) -> dict[str, Any]:
    return asked(inputs=[{**asked()["inputs"][0], **changes}])


def test_health_and_metadata(browser: Browser) -> None:
    assert browser.get("/v2/health/live") == (200, {"live": True})
    assert browser.get("/v2/health/ready") == (200, {"ready": True})
    assert browser.get("/v2/models/net/ready") == (200, {"name": "net", "ready": True})
    assert browser.get("/v2") == browser.get("/v2/")
    assert "binary_tensor_data" in browser.get("/v2")[1]["extensions"]
    assert browser.get("/v2/models") == (200, {"models": ["net"]})
    index = [{"name": "net", "version": subnet, "state": "READY", "reason": ""} for subnet in ("small", "large")]
    assert browser.get("/v2/repository/index", "POST") == (200, index)
    status, metadata = browser.get("/v2/models/net/versions/small")
    assert metadata["versions"] == ["small", "large"]
    assert (status, metadata["inputs"]) == (200, [{"name": "input", "datatype": "FP32", "shape": [-1, 2, 2, 2]}])
    assert metadata["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]
    assert metadata["parameters"] == {"policy": "max-accuracy"}


def test_a_json_request_gets_a_json_answer_that_says_how_it_came_about(browser: Browser) -> None:
    status, answer = browser.infer(asked(rows=2, id="seven"))
    assert status == 200
    assert answer == {
        "model_name": "net",
        "model_version": "large",
        "id": "seven",
        "parameters": {"subnet": "large", "accuracy": 0.9, "batch_size": 2, "queue_us": 0, "compute_us": 8000, "slo_met": True},
        "outputs": [{"name": "logits", "shape": [2, 10], "datatype": "FP32", "data": [8.0] * 20}],
    }


def test_a_binary_request_gets_a_binary_answer(browser: Browser) -> None:
    data = np.ones((2, 2, 2, 2), np.float32)
    body, length = write_request(InferRequest((Tensor("input", "FP32", data),), binary_output=True))
    browser.post(INFER, body, Inference_Header_Content_Length=str(length))
    browser.world.advance(10)
    status, headers, answer = browser.answer()
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    read = read_response(answer, int(headers["Inference-Header-Content-Length"]))
    assert read.outputs[0].data.tolist() == [[8.0] * 10] * 2


def test_a_raw_body_is_the_only_input(browser: Browser) -> None:
    browser.post(INFER, np.ones(16, np.float32).tobytes(), Inference_Header_Content_Length="0")
    browser.world.advance(10)
    status, headers, answer = browser.answer()
    assert status == 200
    assert read_response(answer, int(headers["Inference-Header-Content-Length"])).outputs[0].data.shape == (2, 10)


@pytest.mark.parametrize(
    "body",
    [
        asked(parameters={"timeout": 3000}),
        asked(parameters={"slo_us": 3000}),
        asked(parameters={"slo_us": 3000, "timeout": 3000}),
    ],
)
def test_the_slo_decides_the_subnet(browser: Browser, body: object) -> None:
    status, answer = browser.infer(body)
    assert (status, answer["parameters"]["subnet"]) == (200, "small")


def test_the_slo_may_come_as_a_header(browser: Browser) -> None:
    assert browser.infer(asked(), X_Superserve_SLO_us="3000")[1]["parameters"]["subnet"] == "small"
    assert browser.infer(asked(parameters={"timeout": 3000}), X_Superserve_SLO_us="3001")[0] == 400
    assert browser.infer(asked(), X_Superserve_SLO_us="soon")[0] == 400


def test_an_accuracy_floor_decides_the_subnet_and_one_out_of_reach_is_refused(world: World) -> None:
    browser = Browser(world(policy="max-batch"))
    assert browser.infer(asked(parameters={"min_accuracy": "0.85"}))[1]["parameters"]["subnet"] == "large"
    assert browser.infer(asked(), X_Superserve_Min_Accuracy="0.85")[1]["parameters"]["subnet"] == "large"
    status, answer = browser.infer(asked(parameters={"min_accuracy": 0.95}))
    assert (status, answer) == (400, {"error": "no served subnet reaches min_accuracy 0.95"})


@pytest.mark.parametrize(
    "parameters",
    [
        {"timeout": 0},
        {"timeout": -5},
        {"timeout": 1.5},
        {"timeout": True},
        {"timeout": "5000"},
        {"timeout": 2**63},
        {"slo_us": 0},
        {"slo_us": None},
        {"timeout": 5000, "slo_us": 6000},
        {"min_accuracy": -0.1},
        {"min_accuracy": 1.1},
        {"min_accuracy": "nan"},
        {"min_accuracy": "high"},
        {"min_accuracy": True},
        {"min_accuracy": [0.5]},
        {"min_accuracy": 10**400},
        {"subnet": "medium"},
        {"subnet": 3},
        {"subnet": ""},
        {"subnet": "small", "min_accuracy": 0.85},
        {"priority": -1},
        {"priority": 1.0},
        {"priority": True},
        {"priority": 2**64},
        {"sequence_id": 3},
    ],
    ids=str,
)
def test_objectives_that_make_no_sense_are_refused(browser: Browser, parameters: dict[str, Any]) -> None:
    status, answer = browser.infer(asked(parameters=parameters))
    assert status == 400
    assert list(answer) == ["error"]
    assert browser.infer(asked())[0] == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"nonsense", "not JSON"),
        (b"", "not JSON"),
        (asked(inputs=[]), "takes one input"),
        (asked(inputs=asked()["inputs"] * 2), "takes one input"),
        (with_input(name="image"), "takes one input"),
        (with_input(datatype="FP64"), "must be FP32"),
        (with_input(shape=[1, 8]), "of shape [-1, 2, 2, 2]"),
        (with_input(shape=[0, 2, 2, 2], data=[]), "must be FP32"),
        (with_input(data=ROW[1:]), "does not fill"),
        (asked(outputs=[{"name": "features"}]), "only output"),
        (asked(rows=5), "at most 4 rows"),
    ],
)
def test_tensors_that_the_model_does_not_take_are_refused_and_the_server_goes_on(browser: Browser, body: object, says: str) -> None:
    status, answer = browser.infer(body)
    assert status == 400
    assert says in answer["error"]
    assert browser.infer(asked())[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/", 405),
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/net/versions/2/infer", 404),
        ("POST", "/v2/models/net/config", 405),
        ("GET", "/v2/models/net/infer", 405),
        ("DELETE", "/v2/models/net", 405),
        ("POST", "/v2/health/live", 405),
        ("PUT", "/metrics", 405),
    ],
)
def test_paths_and_methods_that_do_not_exist_say_so(browser: Browser, method: str, path: str, status: int) -> None:
    got, answer = browser.get(path, method)
    assert got == status
    assert list(answer) == ["error"]


def test_a_body_in_an_unknown_coding_is_refused(browser: Browser) -> None:
    assert browser.infer(asked(), Content_Encoding="br")[0] == 415


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999", "9" * 5000])
def test_a_header_length_that_is_none_is_refused(browser: Browser, length: str) -> None:
    assert browser.infer(asked(), Inference_Header_Content_Length=length)[0] == 400


def test_a_request_that_cannot_be_met_gets_504_at_once(browser: Browser) -> None:
    status, answer = browser.infer(asked(parameters={"timeout": 1000}), wait_ms=0)
    assert (status, list(answer)) == (504, ["error"])


def test_a_full_queue_is_503_with_a_time_to_come_again(world: World) -> None:
    server = world(max_queue=1)
    browser, other = Browser(server), Browser(server)
    browser.post(INFER, asked())
    browser.post(INFER, asked())
    other.post(INFER, asked())
    status, headers, _ = other.answer()
    assert (status, headers["Retry-After"]) == (503, "1")


def test_without_workers_the_server_lives_and_is_not_ready(world: World) -> None:
    server = world()
    browser = Browser(server)
    server.links[0].die()
    assert browser.get("/v2/health/live")[0] == 200
    status, answer = browser.get("/v2/health/ready")
    assert (status, answer["ready"]) == (503, False)
    assert browser.infer(asked())[0] == 503


def test_when_no_worker_comes_back_who_waits_is_told_so(world: World) -> None:
    server = world()
    browser = Browser(server)
    browser.post(INFER, asked())
    for _ in range(2):
        server.links[0].die()
    status, _, body = browser.answer()
    assert (status, list(json.loads(body))) == (503, ["error"])


def test_before_the_workers_have_loaded_models_are_unavailable(world: World) -> None:
    server = world()
    server.desk.models.clear()
    browser = Browser(server)
    assert browser.get("/v2/health/ready")[0] == 503
    assert browser.get("/v2/repository/index", "POST") == (200, [])
    assert browser.infer(asked())[0] == 503


def test_a_client_that_hangs_up_frees_its_place_in_the_queue(world: World) -> None:
    server = world(max_queue=1)
    server.ask()
    browser = Browser(server)
    browser.post(INFER, asked())
    assert server.router.pending == 2
    browser.hang_up()
    assert server.router.pending == 1


def test_a_logit_that_json_cannot_say_is_an_error_and_the_server_goes_on(browser: Browser) -> None:
    nan = np.full((1, 2, 2, 2), np.nan, np.float32)
    body, length = write_request(InferRequest((Tensor("input", "FP32", nan),)))
    browser.post(INFER, body, Inference_Header_Content_Length=str(length))
    browser.world.advance(10)
    status, _, answer = browser.answer()
    assert status == 400
    assert "binary" in json.loads(answer)["error"]
    assert browser.infer(asked())[0] == 200


def test_metrics_and_statistics_count_what_was_served(browser: Browser) -> None:
    browser.infer(asked(rows=2))
    browser.infer(asked(parameters={"timeout": 1000}))
    browser.post("/metrics", b"", "GET")
    status, headers, text = browser.answer()
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    for line in (
        'superserve_requests_total{outcome="met"} 1.0',
        'superserve_requests_total{outcome="dropped"} 1.0',
        'superserve_dispatch_total{batch_size="2",subnet="large"} 1.0',
        'superserve_compute_seconds_bucket{le="0.01"} 1.0',
        "superserve_compute_seconds_sum 0.008",
        "superserve_slack_seconds_sum 0.02",
        "superserve_profile_error_ratio_sum 1.0",
        "superserve_accuracy_served_sum 0.9",
        "superserve_queue_depth 0.0",
    ):
        assert line in text.decode().splitlines()


def test_statistics_are_by_subnet_and_failures_that_no_subnet_is_to_blame_for_stand_apart(browser: Browser) -> None:
    browser.infer(asked(rows=2))
    browser.infer(asked(parameters={"timeout": 1000}))
    small, large, nobody = browser.get("/v2/models/net/stats")[1]["model_stats"]
    assert [entry["version"] for entry in (small, large, nobody)] == ["small", "large", ""]
    assert (large["inference_count"], large["execution_count"]) == (2, 1)
    inference = large["inference_stats"]
    assert (inference["success"], inference["compute_infer"]) == ({"count": 1, "ns": 8_000_000},) * 2
    assert inference["queue"] == inference["compute_input"] == inference["compute_output"] == {"count": 1, "ns": 0}
    assert inference["cache_hit"] == inference["cache_miss"] == inference["fail"] == {"count": 0, "ns": 0}
    assert [(batch["batch_size"], batch["compute_infer"]) for batch in large["batch_stats"]] == [(2, {"count": 1, "ns": 8_000_000})]
    assert large["last_inference"] > 10**12
    assert nobody["inference_stats"]["fail"] == {"count": 1, "ns": 0}
    assert (small["last_inference"], small["inference_count"], small["batch_stats"]) == (0, 0, [])
    assert browser.get("/v2/models/net/versions/large/stats")[1]["model_stats"] == [large]
    assert browser.get("/v2/models/stats")[1] == {"model_stats": [small, large, nobody]}


@settings(deadline=None)
@given(
    noise=st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=4)), max_size=4),
    cuts=st.lists(st.integers(0, 600), max_size=3),
)
def test_whatever_bytes_come_the_server_answers_in_http_and_goes_on(world: World, noise: list[tuple[int, bytes]], cuts: list[int]) -> None:
    body = json.dumps(asked(id="x", parameters={"timeout": 30_000})).encode()
    message = f"POST {INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    for at, piece in noise:
        message = message[:at] + piece + message[at + len(piece) :]
    server = world()

    async def talk() -> bytes:
        send, wire, _ = server.connect()
        for start, end in pairwise(sorted({0, len(message), *(min(cut, len(message)) for cut in cuts)})):
            send(message[start:end])
        server.advance(100)
        return bytes(wire.sent)

    answer = asyncio.run(talk())
    assert answer == b"" or answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 4", b"HTTP/1.1 504 "))
    assert Browser(server).infer(asked())[0] == 200
