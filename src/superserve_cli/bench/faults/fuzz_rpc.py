"""Nonsense over gRPC: what a client once said on its connection, mutated, and messages that are none in calls that are."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np

from superserve_cli.bench.faults.mutate import mutated
from superserve_cli.bench.faults.running import Running
from superserve_cli.bench.faults.wire import HOST
from superserve_cli.serving.rpc.messages import METHODS, ModelInferRequest

TOGETHER: Final = 32
PATIENCE_S: Final = 0.2
READ: Final = 1 << 16
CALL_S: Final = 10.0
RETRY_S: Final = 0.05
PREFACE: Final = 24
"""Most mutations leave the first bytes alone, by which a server knows HTTP/2."""
EXPECTED: Final = frozenset(
    ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "ALREADY_EXISTS")
)


def message(model: str) -> bytes:
    """A good request."""
    asked = ModelInferRequest(model_name=model, raw_input_contents=[np.ones((1, 3), np.float32).tobytes()])
    asked.inputs.add(name="input", datatype="FP32", shape=(1, 3))
    asked.parameters["timeout"].int64_param = 1_000_000
    said: bytes = asked.SerializeToString()
    return said


async def fuzz_messages(server: Running, count: int, seed: int = 1) -> tuple[Counter[str], list[str]]:
    """The codes that mutated messages got, and what was none of those that a client's fault has."""
    random, good = Random(seed), message(server.model)
    return await ask(server, [mutated(random, good, (good,)) for _ in range(count)])


async def ask(server: Running, messages: Sequence[bytes]) -> tuple[Counter[str], list[str]]:
    """The codes that messages got as requests for an inference, and what was none of those that a client's fault has."""
    codes, wrong, turns = Counter[str](), list[str](), asyncio.Semaphore(TOGETHER)
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary(METHODS["ModelInfer"].path)

        async def one(said: bytes) -> None:
            async with turns:
                code = await _code(infer, said)
            codes[code] += 1
            if code not in EXPECTED:
                wrong.append(f"{code} to the message {said!r}")

        await asyncio.gather(*map(one, messages))
    return codes, wrong


async def _code(infer: Any, said: bytes) -> str:
    try:
        await infer(said, timeout=CALL_S, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def fuzz_frames(server: Running, count: int, seed: int = 2) -> Counter[str]:
    """What became of connections on which a client's own bytes came mutated."""
    random, found, turns = Random(seed), Counter[str](), asyncio.Semaphore(TOGETHER)
    said = await asyncio.to_thread(_recorded, server)

    async def one(data: bytes) -> None:
        async with turns:
            found[await _ends(server, data)] += 1

    spoken, start = said[PREFACE:], said[:PREFACE]
    await asyncio.gather(*(one(start + mutated(random, spoken, (said,))) for _ in range(count)))
    return found


async def _ends(server: Running, data: bytes) -> str:
    reader, writer = await _connected(int(server.grpc.rpartition(":")[2]))
    kind = "left open"
    with suppress(TimeoutError):
        try:
            writer.write(data)
            while await asyncio.wait_for(reader.read(READ), PATIENCE_S):
                pass
            kind = "closed"
        except ConnectionError:
            kind = "reset"
    writer.transport.abort()
    return kind


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, also while a server that has ended is put in its place again; raises ConnectionError when nobody comes."""
    until_s = time.monotonic() + CALL_S
    while True:
        try:
            return await asyncio.open_connection(HOST, port)
        except ConnectionError:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(RETRY_S)


def _recorded(server: Running) -> bytes:
    """What a client sends for one call, taken down by a proxy."""
    taken = bytearray()
    with socket.create_server((HOST, 0)) as listening:
        passing = threading.Thread(target=_pass, args=(listening, server, taken))
        passing.start()
        with grpc.insecure_channel(f"{HOST}:{listening.getsockname()[1]}") as channel:
            channel.unary_unary(METHODS["ModelInfer"].path)(message(server.model), timeout=CALL_S)
        passing.join()
    return bytes(taken)


def _pass(listening: socket.socket, server: Running, taken: bytearray) -> None:
    client, _ = listening.accept()
    with client, socket.create_connection((HOST, int(server.grpc.rpartition(":")[2]))) as behind:
        back = threading.Thread(target=_copy, args=(behind, client, bytearray()))
        back.start()
        _copy(client, behind, taken)
        back.join()


def _copy(source: socket.socket, sink: socket.socket, taken: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(READ):
            taken += data
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
