"""One HTTP request and the place for its answer, as handlers see them; the bytes come and go elsewhere (`http`)."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

JSON: Final = "application/json"
_HEADS: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\nContent-Type: ".encode() for s in HTTPStatus}


class Connection(Protocol):
    """Where an exchange came from, and where its answer goes."""

    def ends_with(self, exchange: "Exchange") -> bool:
        """Whether nothing will follow this exchange."""
        ...

    def flush(self) -> None:
        """Write the answers that nothing stands before."""
        ...


class Exchange:
    """A request and the place for its answer."""

    __slots__ = ("_answer", "_connection", "body", "closes", "headers", "method", "on_gone", "path")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answer: bytes | None = None
        self.method = self.path = ""
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.closes = False
        self.on_gone: Callable[[], None] | None = None

    @property
    def answered(self) -> bool:
        """Whether it has its answer."""
        return self._answer is not None

    def respond(self, status: int, body: bytes, content_type: str = JSON, headers: str = "") -> None:
        """Answer; `headers` are whole lines, each with its line end. An answer to a client that is gone goes nowhere."""
        self.on_gone = None
        self.closes = self.closes or self._connection.ends_with(self)
        close = "Connection: close\r\n" if self.closes else ""
        head = b"%b%b\r\nContent-Length: %d\r\n%b\r\n" % (_HEADS[status], content_type.encode(), len(body), (headers + close).encode())
        self._answer = head if self.method == "HEAD" else head + body
        self._connection.flush()

    def fail(self, status: int, message: str, headers: str = "") -> None:
        """Answer with the one shape that all errors have: {"error": message}."""
        self.respond(status, json.dumps({"error": message}).encode(), JSON, headers)

    def take_answer(self) -> bytes:
        """The bytes of its answer, for the connection to write."""
        assert self._answer is not None
        return self._answer
