"""Clients that hang up while they send, or while they wait: what they held is free again."""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Final

import grpc
import grpc.aio
import numpy as np

from superserve_cli.bench.faults import wire
from superserve_cli.bench.faults.running import Running, sleepers, until
from superserve_cli.bench.faults.stage import ANSWERED, GONE, Stage, plain_profile
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers
from superserve_cli.serving.rpc.messages import METHODS, ModelInferRequest

TOGETHER: Final = 64
SLO_US: Final = 60_000_000
LATENCY_MS: Final = 5
CALL_S: Final = 0.02
"""How long a call is waited for: most have reached the server then, and few are answered."""
SETTLES_S: Final = 30.0
MOST_FILES: Final = 8
"""Descriptors that a server may have more than before: those of connections that it has not yet seen the end of."""


def vanishing(stage: Stage) -> list[Figure]:
    """Thousands of each kind."""
    each = 500 if stage.quick else 4000
    return [*_over_http(stage, each), *_over_grpc(stage, each)]


def _over_http(stage: Stage, each: int) -> list[Figure]:
    room = stage.room("vanishing")
    ledger = room / "outcomes.parquet"
    with sleepers(room, Sleepers(2, plain_profile(room, LATENCY_MS), slo_ms=60_000, out=str(ledger))) as server:
        asyncio.run(_good(server))
        before = server.files()
        asyncio.run(_vanish(server, each))
        settled_s = until(lambda: _settled(server, before, each + 1), SETTLES_S)
        asyncio.run(_good(server))
        more, failed = server.files() - before, server.counts()["failed"]
        book = stage.close(server, Counter({GONE: each, ANSWERED: 2}), ledger)
    return [
        Figure("vanish_mid_body", "clients that vanish in the middle of a body", each, ""),
        Figure("vanish_mid_wait", "... while they wait for the answer", each, ""),
        Figure("vanish_failed", "... whose requests left the queue before they ran", failed, ""),
        Figure("vanish_settled_s", "... until their places and files are free", settled_s, "s", SETTLES_S),
        Figure("vanish_files", "... open files more than before", more, "", MOST_FILES),
        Figure("vanish_accounts", "... requests missing in metrics or ledger, or too many", book.differences, "", 0),
    ]


def _over_grpc(stage: Stage, calls: int) -> list[Figure]:
    """Calls that are cancelled; some of them before they have reached the server, so nobody knows how many it has seen."""
    room = stage.room("vanishing-grpc")
    with sleepers(room, Sleepers(2, plain_profile(room, LATENCY_MS), slo_ms=60_000)) as server:
        asyncio.run(_good(server))
        before = server.files()
        asyncio.run(_hang_up(server, calls))
        settled_s = until(lambda: _settled(server, before), SETTLES_S)
        asyncio.run(_good(server))
        seen = sum(server.counts().values()) - 2
        stage.close(server, Counter({GONE: seen, ANSWERED: 2}))
    return [
        Figure("vanish_grpc", "gRPC calls that are cancelled while they wait", calls, ""),
        Figure("vanish_grpc_seen", "... that had reached the queue", seen, ""),
        Figure("vanish_grpc_settled_s", "... until their places and files are free", settled_s, "s", SETTLES_S),
    ]


def _settled(server: Running, files: int, requests: int | None = None) -> bool:
    """Whether nobody waits any more, and all requests have ended."""
    said = server.metrics()
    ended = sum(value for name, value in said.items() if name.startswith("superserve_requests_total"))
    waits = said["superserve_queue_depth"] + said["superserve_pending_bytes"]
    return waits == 0 and server.files() <= files + MOST_FILES and requests in (None, ended)


async def _good(server: Running) -> None:
    connection = await wire.Wire.to(server.port)
    (reply,) = await connection.ask(wire.binary(server.model, SLO_US))
    connection.close()
    if reply.status != 200:
        raise wire.Broken(f"a good request got {reply.status}")


async def _vanish(server: Running, each: int) -> None:
    turns, random = asyncio.Semaphore(TOGETHER), Random(0)
    message, long = wire.binary(server.model, SLO_US), wire.post(server.model, bytes(100_000), "Inference-Header-Content-Length: 100\r\n")
    partly = [(long[: random.randint(1, len(long) - 1)], random.random() < 0.5) for _ in range(each)]
    await asyncio.gather(*(_leave(server, turns, part, reset) for part, reset in partly))
    await asyncio.gather(*(_leave(server, turns, message, reset=False) for _ in range(each)))


async def _leave(server: Running, turns: asyncio.Semaphore, message: bytes, reset: bool) -> None:
    async with turns:
        with suppress(OSError):
            connection = await wire.Wire.to(server.port)
            connection.writer.write(message)
            await connection.writer.drain()
            await asyncio.sleep(0)
            if reset:
                connection.reset()
            else:
                connection.close()


async def _hang_up(server: Running, calls: int) -> None:
    """Cancel calls over gRPC."""
    request = ModelInferRequest(model_name=server.model, raw_input_contents=[np.ones((1, 3), np.float32).tobytes()])
    request.inputs.add(name="input", datatype="FP32", shape=(1, 3))
    request.parameters["timeout"].int64_param = SLO_US
    message = request.SerializeToString()
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary(METHODS["ModelInfer"].path)
        for begun in range(0, calls, TOGETHER):
            asked = [infer(message) for _ in range(min(TOGETHER, calls - begun))]
            await asyncio.sleep(CALL_S)
            for call in asked:
                call.cancel()
