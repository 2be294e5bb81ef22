import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.conformance import expect, find, headers, place
from superserve_cli.conformance.client import Answer, Client
from superserve_cli.conformance.verdict import Unmet
from superserve_cli.errors import BadOption, Unreachable

BINARY = b'{"model_name":"m","outputs":[{"name":"y","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}'


@contextmanager
def answering(said: bytes) -> Iterator[Client]:
    """A client of somebody who says this to whoever comes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        yield Client(place(f"http://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()


@pytest.mark.parametrize(
    ("said", "bodies"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc", [b"ab", b"c"]),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc", [b"c"]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", [b"abc"]),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", [b"abc"]),
        (b"HTTP/1.1 204 No Content\r\n\r\n", [b""]),
        (b"", []),
    ],
)
def test_every_answer_on_a_connection_is_read_to_its_end(said: bytes, bodies: list[bytes]) -> None:
    with answering(said) as client:
        assert [answer.body for answer in client.raw(b"x", answers=2)] == bodies


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 two OK\r\n\r\n"])
def test_what_is_no_http_is_told(said: bytes) -> None:
    with answering(said) as client, pytest.raises(Unmet, match="HTTP answer"):
        client.raw(b"x")


def test_somebody_who_speaks_no_http_is_no_server() -> None:
    with answering(b"220 mail.example ESMTP\r\n") as client, pytest.raises(Unreachable, match="no server of HTTP answers"):
        find(client, None)


def test_no_answer_is_told() -> None:
    with answering(b"") as client, pytest.raises(Unmet, match="expected an HTTP answer, came none"):
        client.get("/v2")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "a whole answer, came 6 bytes less"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "an HTTP answer, came none"),
    ],
)
def test_an_answer_that_is_cut_off_is_told(said: bytes, expected: str) -> None:
    with answering(said) as client, pytest.raises(Unmet, match=expected):
        client.get("/v2")


def test_an_answer_that_does_not_end_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dribble() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    connection.sendall(b"a")
                    time.sleep(0.01)

        thread = threading.Thread(target=dribble)
        thread.start()
        client = Client(place(f"http://127.0.0.1:{server.getsockname()[1]}"), patience_s=0.3)
        with pytest.raises(Unmet, match=r"an answer that ends, came \d+ bytes and no end"):
            client.get("/v2")
        thread.join()


@pytest.mark.parametrize(
    ("url", "prefix"), [("http://a:1", ""), ("http://a:1/", ""), ("https://a/x/v2", "/x"), ("http://[::1]:8000/v2/", "")]
)
def test_a_url_may_end_where_the_protocol_begins(url: str, prefix: str) -> None:
    assert place(url).prefix == prefix


@pytest.mark.parametrize("url", ["a:1", "ftp://a", "http://", "http://a:b", "http://a?x", "grpc://a:1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadOption):
        place(url)


def test_headers_are_written_with_a_colon() -> None:
    assert headers(["Authorization: Bearer a:b"]) == {"authorization": "Bearer a:b"}
    for line in ("x", ": y", "x: \r\n"):
        with pytest.raises(BadOption):
            headers([line])


def test_an_answer_is_quoted_in_a_line_and_not_without_end() -> None:
    assert str(Answer(400, {}, b'{\n "error":  "x"}')) == '400 { "error": "x"}'
    assert len(str(Answer(400, {}, b"a" * 10_000))) < 120


@pytest.mark.parametrize(
    ("body", "length", "expected"),
    [
        (b'{"model_name":"m","outputs":[{"name":"y","datatype":"INT8","shape":[2],"data":[1]}]}', None, "2 values"),
        (BINARY + b"\1\2", len(BINARY), "ends"),
        (BINARY, len(BINARY), "1 values"),
        (b'{"model_name":"m","outputs":[{"name":"y","shape":[1],"data":[1]}]}', None, "name, datatype"),
        (b'{"model_name":"m"}', None, "outputs"),
        (b"{}", 99, "at most"),
    ],
)
def test_tensors_that_are_not_what_they_say_are_told(body: bytes, length: int | None, expected: str) -> None:
    with pytest.raises(Unmet, match=expected):
        expect.outputs(Answer(200, {} if length is None else {expect.HEADER: str(length)}, body))


@given(status=st.integers(200, 599), body=st.binary(max_size=20))
def test_a_refusal_is_a_client_error_with_an_error_in_its_body(status: int, body: bytes) -> None:
    with pytest.raises(Unmet):
        expect.refused(Answer(status, {}, body))
    if status in range(400, 500):
        expect.refused(Answer(status, {}, b'{"error": "x"}'))
