"""A plain HTTP/1.1 client: it sends what it is told, right or wrong, and hands back what came."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from superserve_cli.conformance.verdict import Unmet
from superserve_cli.errors import BadOption

PATIENCE_S: Final = 20.0
SILENCE_S: Final = 5.0
"""How long a server may be silent about bytes that are half a request."""
READ: Final = 1000
SHOWN: Final = 100
"""How much of an answer is quoted."""


class Place(NamedTuple):
    """Where a server is; `prefix` is what stands before `/v2`."""

    host: str
    port: int
    tls: bool
    prefix: str

    def __str__(self) -> str:
        return f"http{'s' * self.tls}://{self.authority}{self.prefix}"

    @property
    def authority(self) -> str:
        """Host and port, as the Host header has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place(url: str) -> Place:
    """A URL taken apart; raises BadOption for what is no http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadOption(f"{url} is no URL: {error}", hint="write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise BadOption(f"{url} is no http URL", hint="write http://HOST:PORT")
    tls = parts.scheme == "https"
    return Place(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/").removesuffix("/v2"))


def headers(lines: Sequence[str]) -> dict[str, str]:
    """Headers written NAME:VALUE; raises BadOption."""
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isprintable():
            raise BadOption(f"--header {line!r} is no header", hint="write NAME:VALUE")
        found[name.strip()] = value.strip()
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
    """A server's client; every request has a connection of its own. `headers` go with each of them."""

    place: Place
    headers: Mapping[str, str] = field(default_factory=dict)

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
            return Answer(answer.status, _lower(answer.headers), answer.read())
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
        host, port, tls, _ = self.place
        if tls:
            return http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)

    def _socket(self) -> socket.socket:
        connection = socket.create_connection((self.place.host, self.place.port), SILENCE_S)
        return ssl.create_default_context().wrap_socket(connection, server_hostname=self.place.host) if self.place.tls else connection


JSON: Final = {"Content-Type": "application/json", "Accept": "*/*"}


def _lower(headers: http.client.HTTPMessage) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


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
