"""tritonclient's coroutines, over HTTP and gRPC."""

import argparse
import asyncio
from types import ModuleType
from typing import Any

import numpy as np
import tritonclient.grpc.aio as over_grpc
import tritonclient.http.aio as over_http
from calls import Calls, run
from tritonclient.utils import InferenceServerException

ONES = np.ones((1, 16), np.int32)
COUNTING = np.arange(16, dtype=np.int32).reshape(1, 16)


def tensors(client: ModuleType) -> list[Any]:
    """The two inputs of `simple`."""
    found = []
    for name, data in (("INPUT0", COUNTING), ("INPUT1", ONES)):
        tensor = client.InferInput(name, data.shape, "INT32")
        tensor.set_data_from_numpy(data)
        found.append(tensor)
    return found


def sums(result: Any) -> None:
    """The two outputs of `simple`."""
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), COUNTING + ONES)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), COUNTING - ONES)


async def both(calls: Calls, asked: argparse.Namespace) -> None:
    for what, client, address in (("HTTP", over_http, asked.http), ("gRPC", over_grpc, asked.grpc)):
        async with client.InferenceServerClient(address) as server:
            await every(calls, what, client, server, asked.model)
    async with over_grpc.InferenceServerClient(asked.grpc) as server:
        await streamed(calls, server)


async def every(calls: Calls, what: str, client: ModuleType, server: Any, model: str) -> None:
    with calls.call(f"{what}: health"):
        assert await server.is_server_live()
        assert await server.is_server_ready()
        assert await server.is_model_ready(model)
    with calls.call(f"{what}: metadata"):
        await server.get_server_metadata()
        await server.get_model_metadata(model)
    with calls.call(f"{what}: infer"):
        sums(await server.infer("simple", tensors(client)))
    with calls.call(f"{what}: infer, sixteen at once"):
        for result in await asyncio.gather(*(server.infer("simple", tensors(client)) for _ in range(16))):
            sums(result)
    with calls.call(f"{what}: infer, timeout and priority"):
        sums(await server.infer("simple", tensors(client), timeout=5_000_000, priority=1))
    with calls.refused(f"{what}: infer, unknown model", InferenceServerException):
        await server.infer("no-such-model", tensors(client))
    with calls.call(f"{what}: statistics, configuration, index"):
        await server.get_inference_statistics("simple")
        await server.get_model_config("simple")
        await server.get_model_repository_index()
    with calls.call(f"{what}: unload and load"):
        await server.unload_model("simple")
        await server.load_model("simple")
        assert await server.is_model_ready("simple")


async def streamed(calls: Calls, server: Any) -> None:
    with calls.call("gRPC: stream_infer"):

        async def requests() -> Any:
            for i in range(4):
                yield {"model_name": "simple", "inputs": tensors(over_grpc), "request_id": str(i)}

        ids = []
        async for result, error in server.stream_infer(requests()):
            assert error is None, error
            sums(result)
            ids.append(result.get_response().id)
        assert sorted(ids) == ["0", "1", "2", "3"], ids


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """The calls of an asynchronous program."""
    asyncio.run(both(calls, asked))


if __name__ == "__main__":
    run(suite)
