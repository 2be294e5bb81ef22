"""A server that reads requests and answers each with the same inference: what a load generator is measured against.

`python -m superserve_cli.bench.sink http|grpc BYTES` prints its port and serves one model whose input has so many bytes, until its
standard input ends.
"""

import asyncio
import json
import struct
import sys
from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
import uvloop

from superserve_cli.serving.load.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    FRAME,
    FULL_WINDOW,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    frame_head,
    text,
)
from superserve_cli.serving.protocol import InferResponse, Tensor, write_response
from superserve_cli.serving.rpc.messages import METHODS

ROOM: Final = 1 << 20
MODEL: Final = "sink"
OUTPUT: Final = np.linspace(0, 1, 10, dtype=np.float32)[np.newaxis]
SAID: Final[dict[str, Any]] = {
    "subnet": "d111-w1-e1",
    "accuracy": 0.9,
    "batch_size": 8,
    "queue_us": 900,
    "compute_us": 1800,
    "slo_met": True,
}
PREFACE: Final = 24
MARK: Final = b"\0STR"
"""Stands where an answer names its stream."""


class HttpSink(asyncio.BufferedProtocol):
    """One HTTP connection."""

    room = bytearray(ROOM)

    def __init__(self, answers: Callable[[bytes], bytes]) -> None:
        self._answers = answers
        self._answer = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Called by the loop."""
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the loop."""
        if self._left == 0:
            end = self.room.find(b"\r\n\r\n", 0, nbytes) + 4
            head = bytes(self.room[:end])
            self._answer = self._answers(head.split(b" ", 2)[1])
            self._left = end + _content_length(head)
        self._left -= nbytes
        if self._left == 0:
            self._transport.write(self._answer)


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length: ")
    return int(rest.partition(b"\r\n")[0] or 0)


class RpcSink(asyncio.Protocol):
    """One gRPC connection."""

    def __init__(self, answers: Callable[[bytes], bytes]) -> None:
        self._answers = answers
        self._answer = b""
        self._buffer = b""
        self._preface = PREFACE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)
        leave = struct.pack(">I", FULL_WINDOW - FIRST_WINDOW)
        self._transport.write(
            frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, FULL_WINDOW)) + frame(WINDOW_UPDATE, 0, 0, leave)
        )

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        buffer = self._buffer + data if self._buffer else data
        at = min(self._preface, len(buffer))
        self._preface -= at
        while at + FRAME <= len(buffer):
            length = int.from_bytes(buffer[at : at + 3], "big")
            if at + FRAME + length > len(buffer):
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            if kind == HEADERS:
                self._answer = self._answers(buffer[at + FRAME : at + FRAME + length])
            elif kind == DATA and flags & END_STREAM:
                self._transport.write(_on(self._answer, buffer[at + 5 : at + 9]))
            at += FRAME + length
        self._buffer = buffer[at:]


def _on(answer: bytes, stream: bytes) -> bytes:
    """An answer on the stream of its request."""
    return answer.replace(MARK, stream)


def http_answers(size: int) -> Callable[[bytes], bytes]:
    """What is answered by path."""
    tensor = {"name": "x", "datatype": "UINT8", "shape": [-1, size]}
    pages: dict[str, Any] = {
        "/v2/health/ready": {"ready": True},
        "/v2": {"name": "sink", "version": "1", "extensions": ["binary_tensor_data"]},
        "/v2/repository/index": [{"name": MODEL}],
        f"/v2/models/{MODEL}": {"name": MODEL, "inputs": [tensor], "outputs": []},
    }
    found = {path.encode(): _http(json.dumps(page).encode(), "") for path, page in pages.items()}
    body, length = write_response(InferResponse(MODEL, (Tensor("y", "FP32", OUTPUT),), parameters=SAID), [True])
    infer = _http(body, f"Inference-Header-Content-Length: {length}\r\n")
    return lambda path: found.get(path, infer)


def _http(body: bytes, header: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode() + body


def rpc_answers(size: int) -> Callable[[bytes], bytes]:
    """What is answered by the path that stands in a header block."""
    tensor = {"name": "x", "datatype": "UINT8", "shape": [-1, size]}
    parameters = {
        "subnet": {"string_param": SAID["subnet"]},
        "accuracy": {"double_param": SAID["accuracy"]},
        "compute_us": {"int64_param": 1800},
    }
    output = {"name": "y", "datatype": "FP32", "shape": [1, OUTPUT.size]}
    pages: dict[str, dict[str, Any]] = {
        "ServerReady": {"ready": True},
        "ServerMetadata": {"name": "sink", "version": "1"},
        "RepositoryIndex": {"models": [{"name": MODEL}]},
        "ModelMetadata": {"name": MODEL, "inputs": [tensor]},
        "ModelInfer": {"model_name": MODEL, "outputs": [output], "parameters": parameters, "raw_output_contents": [OUTPUT.tobytes()]},
    }
    found = {METHODS[name].path.encode(): _rpc(METHODS[name].response(**fields).SerializeToString()) for name, fields in pages.items()}
    infer = METHODS["ModelInfer"].path.encode()
    return lambda block: found[infer] if infer in block else next(answer for path, answer in found.items() if path in block)


def _rpc(message: bytes) -> bytes:
    stream = int.from_bytes(MARK, "big")
    head = text(":status", "200") + text("content-type", "application/grpc")
    data = struct.pack(">BI", 0, len(message)) + message
    return (
        frame(HEADERS, END_HEADERS, stream, head)
        + frame_head(len(data), DATA, 0, stream)
        + data
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, text("grpc-status", "0"))
    )


async def serve(kind: str, size: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    answers = http_answers(size) if kind == "http" else rpc_answers(size)
    server = await loop.create_server(lambda: SINKS[kind](answers), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # to whoever started this
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    await over.wait()
    server.close()


SINKS: Final[dict[str, Callable[[Callable[[bytes], bytes]], asyncio.BaseProtocol]]] = {"http": HttpSink, "grpc": RpcSink}

if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
