import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import create_server
from typing import Any

import pytest

from superserve_cli.errors import BadOption, Unknown, Unreachable
from superserve_cli.serving.load import describe, wait
from superserve_cli.serving.load.find import find
from superserve_cli.serving.load.place import Access, parse
from superserve_cli.serving.load.target import Input

TENSOR = {"name": "image", "datatype": "FP32", "shape": [-1, 3, 32, 32]}
MODEL: dict[str, Any] = {"name": "m", "inputs": [TENSOR], "outputs": [], "parameters": {"task": "glyphs", "slo_us": 20000}}
SERVER: dict[str, Any] = {"name": "other", "version": "1", "extensions": []}
READY: tuple[int, Any] = (200, {"ready": True})


@contextmanager
def told(pages: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """The URL of a server with these pages, and 404 for all others."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            status, page = pages.get(self.path, (404, {"error": "not here"}))
            body = page if isinstance(page, bytes) else json.dumps(page).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # http.server's name

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_model_is_described_by_its_parameters_and_its_server() -> None:
    with told({"/v2/health/ready": READY, "/v2": (200, SERVER), "/v2/models/m": (200, MODEL)}) as url:
        assert describe(f"{url}/v2/models/m") == describe(url, "m")
        assert describe(url, "m") == {"task": "glyphs", "slo_us": 20000, "url": url, "model": "m", "platform": "", "server": "other 1"}


@pytest.mark.parametrize(
    "said",
    [
        {"task": 5},
        {"slo_us": "soon"},
        {"slo_us": -1},
        {"slo_us": True},
        {"sustained_qps": "many"},
        {"sustained_qps": 1e300},
        {"workers": []},
    ],
)
def test_what_cannot_mean_what_our_own_server_means_is_left_out(said: dict[str, Any]) -> None:
    model, server = {**MODEL, "parameters": {"mood": "fine", **said}}, {**SERVER, "extensions": 3}
    with told({"/v2/health/ready": READY, "/v2": (200, server), "/v2/models/m": (200, model)}) as url:
        assert describe(url, "m") == {"mood": "fine", "url": url, "model": "m", "platform": "", "server": "other 1"}
        assert not find(url, "m").binary


def test_nesting_without_end_is_not_this_protocol() -> None:
    with told({"/v2/health/ready": READY, "/v2": (200, b"[" * 100_000)}) as url, pytest.raises(Unreachable, match="does not speak"):
        describe(url, "m")


def test_the_only_model_need_not_be_named() -> None:
    shared = {"/v2/health/ready": READY, "/v2": (200, SERVER), "/v2/models/m": (200, MODEL)}
    with told({**shared, "/v2/repository/index": (200, [{"name": "m", "version": "1"}, {"name": "m", "version": "2"}])}) as url:
        assert describe(url)["model"] == "m"
    with told({**shared, "/v2/models": (200, {"models": ["m"]})}) as url:
        assert describe(url)["model"] == "m"


def test_a_server_may_speak_of_itself_at_the_path_of_the_specification() -> None:
    with told({"/v2/health/ready": READY, "/v2": (307, b""), "/v2/": (200, SERVER), "/v2/models/m": (200, MODEL)}) as url:
        assert describe(url, "m")["server"] == "other 1"


def test_a_version_and_a_prefix_are_kept() -> None:
    pages = {"/edge/v2/health/ready": READY, "/edge/v2": (200, SERVER), "/edge/v2/models/m/versions/d2": (200, MODEL)}
    with told(pages) as url:
        assert find(f"{url}/edge/v2/models/m/versions/d2").path == "/edge/v2/models/m/versions/d2/infer"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://h", ("h", 80, False, "", "", "")),
        ("http://h:8000/", ("h", 8000, False, "", "", "")),
        ("http://h:8000/v2", ("h", 8000, False, "", "", "")),
        ("https://h/a/b", ("h", 443, True, "/a/b", "", "")),
        ("http://h/v2/models/my%20model/infer", ("h", 80, False, "", "my model", "")),
        ("http://[::1]:8000/v2/models/m/versions/2/", ("::1", 8000, False, "", "m", "2")),
        ("grpc://h:8001", ("h", 8001, False, "", "", "")),
        ("grpcs://h:8001/m/2/", ("h", 8001, True, "", "m", "2")),
    ],
)
def test_a_url_names_server_model_and_version(url: str, told: tuple[object, ...]) -> None:
    place = parse(url)
    assert (place.host, place.port, place.tls, place.prefix, place.model, place.version) == told


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://h",
        "http://",
        "http://h:99999",
        "http://h:x",
        "http://h/?q",
        "http://[::1",
        "grpc://h",
        "grpc://h:1/a/b/c",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadOption) as refused:
        describe(url)
    assert "http://HOST:PORT" in refused.value.hint


def test_a_place_where_nothing_listens_is_unreachable() -> None:
    with create_server(("127.0.0.1", 0)) as socket:
        port = socket.getsockname()[1]
    with pytest.raises(Unreachable, match=f"nothing answers at http://127.0.0.1:{port}: Connection refused"):
        describe(f"http://127.0.0.1:{port}")


def test_a_server_that_does_not_speak_http_is_unreachable() -> None:
    with create_server(("127.0.0.1", 0)) as socket:

        def greet() -> None:
            connection, _ = socket.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(Unreachable, match="no HTTP server"):
            describe(f"http://127.0.0.1:{socket.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ({}, "does not speak the Open Inference Protocol v2"),
        ({"/v2/health/ready": (503, b"")}, "is not ready"),
        ({"/v2/health/ready": (200, {"ready": False})}, "is not ready"),
        ({"/v2/health/ready": READY}, r"does not speak the Open Inference Protocol v2 \(GET /v2: status 404\)"),
        ({"/v2/health/ready": READY, "/v2": (200, b"<html>")}, "does not speak the Open Inference Protocol v2"),
        ({"/v2/health/ready": READY, "/v2": (200, SERVER)}, "tells nothing of the model m"),
        (
            {"/v2/health/ready": READY, "/v2": (200, SERVER), "/v2/models/m": (200, {"inputs": [{"name": "x"}]})},
            "does not describe its input",
        ),
        ({"/v2/health/ready": READY, "/v2": (200, SERVER), "/v2/models/m": (200, {**MODEL, "inputs": []})}, "names no input"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused_in_a_line(pages: dict[str, tuple[int, Any]], message: str) -> None:
    with told(pages) as url, pytest.raises(Unreachable, match=message) as refused:
        describe(url, "m")
    assert "\n" not in str(refused.value)
    assert refused.value.hint


def test_one_of_several_models_must_be_named() -> None:
    index = (200, [{"name": "a"}, {"name": "b"}])
    with told({"/v2/health/ready": READY, "/v2": (200, SERVER), "/v2/repository/index": index}) as url:
        with pytest.raises(BadOption, match="several models: a, b"):
            describe(url)
        with pytest.raises(Unknown, match="'aa'"):
            describe(url, "aa")


def test_a_server_that_lists_no_models_wants_one_named() -> None:
    with told({"/v2/health/ready": READY, "/v2": (200, SERVER)}) as url, pytest.raises(BadOption, match="does not say which models"):
        describe(url)


@pytest.mark.parametrize(
    ("shape", "read"),
    [([-1, 16], Input("x", "INT32", (16,))), ([16], Input("x", "INT32", (16,), False)), ([1, -1], Input("x", "INT32", (1, -1), False))],
)
def test_the_first_dimension_counts_rows_where_it_may_vary(shape: list[int], read: Input) -> None:
    model = {**MODEL, "inputs": [{"name": "x", "datatype": "INT32", "shape": shape}]}
    with told({"/v2/health/ready": READY, "/v2": (200, SERVER), "/v2/models/m": (200, model)}) as url:
        assert find(url, "m").inputs == (read,)


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key_says_so(status: int) -> None:
    with (
        told({"/v2/health/ready": (status, b""), "/v2": (200, SERVER)}) as url,
        pytest.raises(Unreachable, match="does not let us in") as no,
    ):
        describe(url, "m")
    assert "--api-key" in no.value.hint


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ünïcode"])
def test_a_key_that_would_break_a_head_is_refused(key: str) -> None:
    with pytest.raises(BadOption, match="visible ASCII") as refused:
        Access(key)
    assert key not in str(refused.value) or not key


def test_a_key_is_in_no_representation() -> None:
    assert "s3cret" not in repr(Access("s3cret"))


def test_waiting_ends_when_the_server_is_ready_and_not_before() -> None:
    pages: dict[str, tuple[int, Any]] = {
        "/v2/health/ready": (503, {"error": "warming up"}),
        "/v2": (200, SERVER),
        "/v2/models/m": (200, MODEL),
    }
    with told(pages) as url:
        with pytest.raises(Unreachable, match="not ready"):
            wait(f"{url}/v2/models/m", 0)
        threading.Timer(0.05, lambda: pages.update({"/v2/health/ready": READY})).start()
        wait(f"{url}/v2/models/m", 60)
        assert describe(f"{url}/v2/models/m")["model"] == "m"


def test_nan_seconds_would_never_be_over() -> None:
    with pytest.raises(BadOption, match="nan seconds"):
        wait("http://127.0.0.1:9", float("nan"))
