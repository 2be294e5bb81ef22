"""A plain HTTP/1.1 client: it sends what it is told, right or wrong, and hands back what came."""

import http.client
import json
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, Final

from superserve_cli.conformance.verdict import Unmet
from superserve_cli.errors import BadOption
from superserve_cli.serving.load.place import OPEN, Access, Place, parse

PATIENCE_S: Final = 20.0
SILENCE_S: Final = 5.0
"""How long a server may be silent about bytes that are half a request."""
AT_ONCE: Final = 1 << 16
MOST_BYTES: Final = 1 << 28
READ: Final = 1000
SHOWN: Final = 100
"""How much of an answer is quoted."""


def place(url: str) -> Place:
    """A URL taken apart; raises BadOption for what is no http(s) URL."""
    found = parse(url, "")
    if found.rpc:
        raise BadOption(f"{url} is no http URL", hint="write http://HOST:PORT, and --grpc HOST:PORT beside it")
    return found


def headers(lines: Sequence[str]) -> dict[str, str]:
    """Headers written NAME:VALUE, their names in lower case; raises BadOption."""
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isprintable():
            raise BadOption(f"--header {line!r} is no header", hint="write NAME:VALUE")
        found[name.strip().lower()] = value.strip()
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its JSON, or None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def __str__(self) -> str:
        text = " ".join(self.body[:READ].decode("utf-8", "replace").split())
        return f"{self.status} {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}".strip()


@dataclass(frozen=True)
class Client:
    """A server's client; every request has a connection of its own. `headers` go with each of them.

    `patience_s` is how long a server may be silent, and how long a body may take.
    """

    place: Place
    headers: Mapping[str, str] = field(default_factory=dict)
    access: Access = OPEN
    patience_s: float = PATIENCE_S

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Answer to a GET; raises Unmet when none comes, OSError when nobody listens."""
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: object = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Answer to a POST of bytes as they are, of anything else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, raw, headers)

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None) -> Answer:
        """Answer to any request."""
        connection = self._connection()
        connection.connect()
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read everything
            connection.request(method, self.place.prefix + path, body, {**JSON, **self.headers, **(headers or {})})
        try:
            answer = connection.getresponse()
            return Answer(answer.status, _lower(answer.headers), _whole(answer, time.monotonic() + self.patience_s))
        except (OSError, http.client.HTTPException) as error:
            raise Unmet("an HTTP answer", f"none ({type(error).__name__})") from None
        finally:
            connection.close()

    def raw(self, data: bytes, answers: int = 1) -> list[Answer]:
        """The answers to bytes as they are, fewer when the server closes before; raises Unmet when it does neither in time."""
        with self._socket() as connection, connection.makefile("rb") as file:
            with suppress(OSError):  # closed while we speak: an answer may still lie there
                connection.sendall(data)
            return _read_answers(file, answers)

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """The head of a request to be changed by hand."""
        named = (f"{name}: {value}" for name, value in self.headers.items())
        first = f"{method} {self.place.prefix}{path} HTTP/1.1"
        return "\r\n".join((first, f"Host: {self.place.authority}", *named, *lines, "", "")).encode("latin-1")

    def _connection(self) -> http.client.HTTPConnection:
        host, port, tls = self.place.host, self.place.port, self.access.context(self.place)
        if tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=self.patience_s, context=tls)
        return http.client.HTTPConnection(host, port, timeout=self.patience_s)

    def _socket(self) -> socket.socket:
        connection = socket.create_connection((self.place.host, self.place.port), SILENCE_S)
        tls = self.access.context(self.place)
        return connection if tls is None else tls.wrap_socket(connection, server_hostname=self.place.host)


JSON: Final = {"Content-Type": "application/json", "Accept": "*/*"}


def _lower(headers: http.client.HTTPMessage) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _whole(answer: http.client.HTTPResponse, until_s: float) -> bytes:
    """The body of an answer; raises Unmet when it is cut off or does not end."""
    pieces, size = [], 0
    while piece := answer.read1(AT_ONCE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES or time.monotonic() > until_s:
            raise Unmet("an answer that ends", f"{size} bytes and no end")
    if answer.length:
        raise Unmet("a whole answer", f"{answer.length} bytes less")
    return b"".join(pieces)


def _read_answers(file: BufferedReader, most: int) -> list[Answer]:
    found: list[Answer] = []
    try:
        while len(found) < most and (line := file.readline()):
            answer = _read_answer(line, file)
            if answer.status >= 200:
                found.append(answer)
    except TimeoutError:
        raise Unmet("an answer, or a closed connection", f"neither within {SILENCE_S:g} s") from None
    except ConnectionResetError:
        pass  # a close in haste is a close
    except (ValueError, http.client.HTTPException):
        raise Unmet("an HTTP answer", "something else") from None
    return found


def _read_answer(line: bytes, file: BufferedReader) -> Answer:
    version, status_text, *_ = line.split()  # a ValueError where it is no status line
    if not version.startswith(b"HTTP/1."):
        raise ValueError(f"{line!r} is no status line")
    status = int(status_text)
    headers = _lower(http.client.parse_headers(file))
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, headers, _read_chunks(file))
    if status < 200 or status in (204, 304):
        return Answer(status, headers, b"")
    length = headers.get("content-length")
    return Answer(status, headers, file.read() if length is None else file.read(int(length)))


def _read_chunks(file: BufferedReader) -> bytes:
    pieces = []
    while size := int(file.readline().partition(b";")[0], 16):
        pieces.append(file.read(size))
        file.readline()
    file.readline()
    return b"".join(pieces)
