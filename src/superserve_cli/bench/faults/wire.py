"""The least HTTP client that one can have: bytes out, statuses back; for many connections, and for what no proper client would send."""

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from superserve_cli.serving.protocol import InferRequest, Tensor, write_request

READ: Final = 1 << 18
HEAD: Final = b"\r\n\r\n"
PATIENCE_S: Final = 60.0
HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Broken(Exception):
    """What came back is no whole answer."""


class Replies:
    """The answers in a stream of bytes, in whatever pieces they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Reply]:
        """What is whole by now; raises Broken where it is no answer."""
        self._buffer += data
        while (reply := self._take()) is not None:
            yield reply

    @property
    def rest(self) -> bytes:
        """What is not whole yet."""
        return bytes(self._buffer)

    def _take(self) -> Reply | None:
        if (end := self._buffer.find(HEAD)) < 0:
            return None
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        version, _, code = first.partition(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if version != "HTTP/1.1" or not code[:3].isdigit():
            raise Broken(f"an answer that begins with {first[:80]!r}")
        if code.startswith("100"):
            length = 0
        elif not headers.get("content-length", "").isdigit():
            raise Broken("an answer without a length")
        else:
            length = int(headers["content-length"])
        if len(self._buffer) < end + len(HEAD) + length:
            return None
        body = bytes(self._buffer[end + len(HEAD) : end + len(HEAD) + length])
        del self._buffer[: end + len(HEAD) + length]
        return Reply(int(code[:3]), headers, body) if not code.startswith("100") else self._take()


@dataclass
class Wire:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    replies: Replies = field(default_factory=Replies)
    ready: list[Reply] = field(default_factory=list)

    @classmethod
    async def to(cls, port: int) -> "Wire":
        """A new one; raises OSError."""
        return cls(*await asyncio.open_connection(HOST, port))

    async def ask(self, *messages: bytes) -> list[Reply]:
        """Send some requests together, and wait for all answers; raises Broken when they do not come."""
        self.writer.write(b"".join(messages))
        while len(self.ready) < len(messages):
            data = await asyncio.wait_for(self.reader.read(READ), PATIENCE_S)
            if not data:
                raise Broken("the connection was closed before the answer")
            self.ready += self.replies.feed(data)
        answers, self.ready = self.ready[: len(messages)], self.ready[len(messages) :]
        return answers

    def close(self) -> None:
        """Hang up."""
        self.writer.close()

    def reset(self) -> None:
        """Hang up without a word: what has not been read is thrown away on both sides."""
        held: socket.socket = self.writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def binary(model: str, slo_us: int, rows: int = 1, width: int = 3) -> bytes:
    """A request whose tensor travels as bytes."""
    asked = InferRequest((_tensor(rows, width),), parameters={"timeout": slo_us}, binary_output=True)
    body, length = write_request(asked)
    return post(model, body, f"Inference-Header-Content-Length: {length}\r\n")


def text(model: str, slo_us: int, rows: int = 1, width: int = 3) -> bytes:
    """A request that is all JSON."""
    return post(model, write_request(InferRequest((_tensor(rows, width),), parameters={"timeout": slo_us}), binary=False)[0])


def post(model: str, body: bytes, headers: str = "") -> bytes:
    """A body for a model's inference."""
    return f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def error(reply: Reply) -> str:
    """The message of an error in the one shape that they have; raises Broken where it has another."""
    try:
        said = json.loads(reply.body)["error"]
    except (ValueError, TypeError, KeyError):
        raise Broken(f"an error {reply.status} without a message: {reply.body[:80]!r}") from None
    if not isinstance(said, str) or not said:
        raise Broken(f"an error {reply.status} with the message {said!r}")
    return said


def _tensor(rows: int, width: int) -> Tensor:
    return Tensor("input", "FP32", np.ones((rows, width), np.float32))
