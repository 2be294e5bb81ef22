"""open-inference-openapi: the client that is generated from the specification's REST document."""

import argparse
import asyncio

from calls import Calls, run
from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.types import InferenceRequest, RequestInput, RequestOutput, TensorData


def request() -> InferenceRequest:
    """One for `simple`."""
    numbers = TensorData(__root__=[float(n) for n in range(16)])
    inputs = [RequestInput(name=name, shape=[1, 16], datatype="INT32", data=numbers) for name in ("INPUT0", "INPUT1")]
    return InferenceRequest(id="seven", inputs=inputs, outputs=[RequestOutput(name="OUTPUT0")])


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """All nine calls, and the same as coroutines."""
    client = OpenInferenceClient(base_url=f"http://{asked.http}")
    version = ""
    with calls.call("check_server_liveness"):
        client.check_server_liveness()
    with calls.call("check_server_readiness"):
        client.check_server_readiness()
    with calls.call("check_model_readiness"):
        client.check_model_readiness(asked.model)
    with calls.call("read_server_metadata"):
        assert client.read_server_metadata().name
    with calls.call("read_model_metadata"):
        said = client.read_model_metadata(asked.model)
        assert said.name == asked.model
        version = said.versions[0]
    with calls.call("check_model_version_readiness"):
        client.check_model_version_readiness(asked.model, version)
    with calls.call("read_model_version_metadata"):
        assert client.read_model_version_metadata(asked.model, version).name == asked.model
    with calls.call("model_infer"):
        answer = client.model_infer("simple", request=request())
        assert answer.id == "seven"
        assert [output.name for output in answer.outputs] == ["OUTPUT0"]
        assert [float(n) for n in answer.outputs[0].data.__root__] == [2.0 * n for n in range(16)]
    with calls.call("model_version_infer"):
        of_simple = client.read_model_metadata("simple").versions[0]
        assert client.model_version_infer("simple", of_simple, request=request()).model_name == "simple"
    with calls.refused("model_infer, unknown model", ApiError):
        client.model_infer("no-such-model", request=request())
    asyncio.run(coroutines(calls, AsyncOpenInferenceClient(base_url=f"http://{asked.http}"), asked.model))


async def coroutines(calls: Calls, client: AsyncOpenInferenceClient, model: str) -> None:
    with calls.call("asynchronous: health and metadata"):
        await client.check_server_liveness()
        await client.check_server_readiness()
        await client.read_model_metadata(model)
    with calls.call("asynchronous: model_infer"):
        assert (await client.model_infer("simple", request=request())).id == "seven"


if __name__ == "__main__":
    run(suite)
