"""A gRPC client of a world, for tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import uvloop

from superserve_cli.serving.rpc.messages import METHODS, ModelInferRequest
from superserve_cli.serving.rpc.server import Rpc

PATIENCE_S = 20.0
SHAPE = (2, 2, 2)


def question(rows: int = 1, model: str = "net", value: float = 1.0, **parameters: Any) -> Any:
    """A request of raw rows that all hold a value."""
    message = ModelInferRequest(model_name=model, raw_input_contents=[np.full((rows, *SHAPE), value, np.float32).tobytes()])
    message.inputs.add(name="input", datatype="FP32", shape=[rows, *SHAPE])
    for name, choice in parameters.items():
        kind = {int: "int64_param", str: "string_param", float: "double_param", bool: "bool_param"}[type(choice)]
        setattr(message.parameters[name], kind, choice)
    return message


class Client:
    """A gRPC client of a world, on the world's own event loop."""

    def __init__(self, world: Any, rpc: Rpc, channel: grpc.aio.Channel) -> None:
        self.world = world
        self.rpc = rpc
        self.channel = channel

    def call(self, name: str, request: Any = None, **options: Any) -> Any:
        """A call of the inference service: to be awaited, or cancelled."""
        method = METHODS[name]
        multi = self.channel.stream_stream if method.request_streams else self.channel.unary_unary
        call = multi(method.path, method.request.SerializeToString, method.response.FromString)
        return call(**options) if method.request_streams else call(request if request is not None else method.request(), **options)

    async def infer(self, request: Any, wait_ms: float = 100, **options: Any) -> Any:
        """The answer of a request that the world gives some time as soon as it is queued."""
        seen = len(self.world.ledger)
        call = self.call("ModelInfer", request, **options)
        asked = asyncio.ensure_future(_answer(call))
        await self.until(lambda: self.world.router.pending > 0 or asked.done() or len(self.world.ledger) > seen)
        self.world.advance(wait_ms)
        return await asked

    async def refused(self, request: Any, **options: Any) -> grpc.aio.AioRpcError:
        """Why a request is not answered."""
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await self.infer(request, **options)
        return refusal.value

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "it did not come true"
            await asyncio.sleep(0.002)


async def _answer(call: Any) -> Any:
    return await call


@asynccontextmanager
async def connected(world: Any, **options: Any) -> AsyncIterator[Client]:
    rpc = Rpc(world.desk, most_connections=100, most_calls=100, **options)
    port = await rpc.listen("127.0.0.1", 0)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Client(world, rpc, channel)
    finally:
        await rpc.stop()


def talk(world: Any, conversation: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    """Have a conversation with a world over gRPC, on an event loop like a server's."""

    async def whole() -> None:
        async with connected(world, **options) as client:
            await asyncio.wait_for(conversation(client), 2 * PATIENCE_S)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())
