"""KServe's inference clients, over REST and gRPC."""

import argparse
import asyncio
from typing import Any

import numpy as np
from calls import Calls, run

COUNTING = np.arange(16, dtype=np.int32).reshape(1, 16)


def request(kserve: Any, binary: bool) -> Any:
    """One for `simple`."""
    inputs = [kserve.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
    for tensor in inputs:
        tensor.set_data_from_numpy(COUNTING, binary_data=binary)
    return kserve.InferRequest(model_name="simple", infer_inputs=inputs, request_id="seven")


def doubled(answer: Any) -> None:
    """The first output of `simple` when both inputs are the same."""
    output = next(output for output in answer.outputs if output.name == "OUTPUT0")
    np.testing.assert_array_equal(output.as_numpy(), 2 * COUNTING)


async def rest(calls: Calls, kserve: Any, config: Any, asked: argparse.Namespace) -> None:
    url = f"http://{asked.http}"
    async with kserve.InferenceRESTClient(config) as client:
        with calls.call("REST: is_server_live"):
            assert await client.is_server_live(url)
        with calls.call("REST: is_server_ready"):
            assert await client.is_server_ready(url)
        with calls.call("REST: is_model_ready"):
            assert await client.is_model_ready(url, asked.model)
        with calls.call("REST: infer, JSON"):
            doubled(await client.infer(url, request(kserve, binary=False), model_name="simple"))
        with calls.call("REST: infer, binary"):
            doubled(await client.infer(url, request(kserve, binary=True), model_name="simple"))


async def over_grpc(calls: Calls, kserve: Any, asked: argparse.Namespace) -> None:
    async with kserve.InferenceGRPCClient(asked.grpc) as client:
        with calls.call("gRPC: is_server_live"):
            assert await client.is_server_live()
        with calls.call("gRPC: is_server_ready"):
            assert await client.is_server_ready()
        with calls.call("gRPC: is_model_ready"):
            assert await client.is_model_ready(asked.model)
        with calls.call("gRPC: infer, contents"):
            doubled(await client.infer(request(kserve, binary=False)))
        with calls.call("gRPC: infer, raw contents"):
            doubled(await client.infer(request(kserve, binary=True)))


async def both(calls: Calls, asked: argparse.Namespace) -> None:
    import kserve  # not above: it reads the command line when it is imported
    from kserve.inference_client import RESTConfig

    await rest(calls, kserve, RESTConfig(protocol="v2", retries=0), asked)
    await over_grpc(calls, kserve, asked)


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """Health and inference, both ways."""
    asyncio.run(both(calls, asked))


if __name__ == "__main__":
    run(suite)
