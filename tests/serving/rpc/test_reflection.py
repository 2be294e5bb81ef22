"""Reflection as grpcurl uses it: which services are there, and what a symbol of theirs means."""

from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from superserve_cli.serving.rpc.reflection import NAMES, ServerReflectionRequest, ServerReflectionResponse
from tests.serving.rpc.client import Client, talk

World = Callable[..., Any]


@pytest.mark.parametrize("name", NAMES)
def test_services_and_their_messages_can_be_asked_for(world: World, name: str) -> None:
    async def conversation(client: Client) -> None:
        info = client.channel.stream_stream(
            f"/{name}/ServerReflectionInfo", ServerReflectionRequest.SerializeToString, ServerReflectionResponse.FromString
        )()

        async def ask(**request: Any) -> Any:
            await info.write(ServerReflectionRequest(**request))
            return await info.read()

        services = [service.name for service in (await ask(list_services="")).list_services_response.service]
        assert {"inference.GRPCInferenceService", "grpc.health.v1.Health", name} <= set(services)
        for symbol in ("inference.GRPCInferenceService.ModelInfer", "grpc.health.v1.Health", "inference.ModelInferRequest"):
            (file,) = (await ask(file_containing_symbol=symbol)).file_descriptor_response.file_descriptor_proto
            described = FileDescriptorProto.FromString(file)
            assert symbol.startswith(described.package)
            (again,) = (await ask(file_by_filename=described.name)).file_descriptor_response.file_descriptor_proto
            assert again == file
        for nothing in ("other.Service", "inference.GRPCInferenceService.Other", ""):
            assert (await ask(file_containing_symbol=nothing)).error_response.error_code == 5
        assert (await ask(all_extension_numbers_of_type="inference.ModelInferRequest")).error_response.error_code == 12
        await info.done_writing()
        assert await info.read() is grpc.aio.EOF

    talk(world(), conversation)


def test_without_a_key_nothing_is_said(world: World) -> None:
    async def conversation(client: Client) -> None:
        info = client.channel.stream_stream(f"/{NAMES[0]}/ServerReflectionInfo")()
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await info.read()
        assert refusal.value.code().name == "UNAUTHENTICATED"

    talk(world(), conversation, allowed=lambda said: False)
