"""One HTTP request and the place for its answer, as handlers see them; the bytes come and go elsewhere (`http`)."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol

from superserve_cli.serving.heads import Head

JSON: Final = "application/json"
_HEADS: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\nContent-Type: " for s in HTTPStatus}
NO_HEAD: Final = Head("", "", {}, 0, closes=True, expects_continue=False)
"""Of a request that was refused before it was whole."""
Body = bytes | memoryview
"""A long body is received where it will be read from, which is no `bytes`."""


class Connection(Protocol):
    """Where an exchange came from, and where its answer goes."""

    def ends_with(self, exchange: "Exchange") -> bool:
        """Whether nothing will follow this exchange."""
        ...

    def flush(self) -> None:
        """Write the answers that nothing stands before."""
        ...


class Exchange:
    """A request and the place for its answer. Its `headers` are shared with others, and not to be changed."""

    __slots__ = ("_connection", "answer", "body", "closes", "head", "on_gone")

    def __init__(self, connection: Connection, head: Head = NO_HEAD) -> None:
        self._connection = connection
        self.answer: bytes | None = None
        self.head = head
        self.closes = head.closes
        self.body: Body = b""
        self.on_gone: Callable[[], None] | None = None

    @property
    def method(self) -> str:
        """What is to be done, in upper case."""
        return self.head.method

    @property
    def path(self) -> str:
        """Where, without the query."""
        return self.head.path

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """By name in lower case."""
        return self.head.headers

    @property
    def answered(self) -> bool:
        """Whether it has its answer."""
        return self.answer is not None

    def respond(self, status: int, body: bytes, content_type: str = JSON, headers: str = "") -> None:
        """Answer; `headers` are whole lines, each with its line end. An answer to a client that is gone goes nowhere."""
        self.on_gone = None
        if not self.closes and self._connection.ends_with(self):
            self.closes = True
        if self.closes:
            headers += "Connection: close\r\n"
        head = f"{_HEADS[status]}{content_type}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
        self.answer = head if self.head.method == "HEAD" else head + body
        self._connection.flush()

    def fail(self, status: int, message: str, headers: str = "") -> None:
        """Answer with the one shape that all errors have: {"error": message}."""
        self.respond(status, json.dumps({"error": message}).encode(), JSON, headers)
