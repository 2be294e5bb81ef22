"""`grpc.reflection`: what this server can be asked, for clients that have no description of it (grpcurl, Postman)."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool

from superserve_cli.serving.refusals import Invalid
from superserve_cli.serving.rpc import declared, health, messages
from superserve_cli.serving.rpc.codec import parsed
from superserve_cli.serving.rpc.door import Allowed, Context, let_in, refuse

PACKAGE: Final = "grpc.reflection.v1"
POOL: Final = declared.pool("reflection")
NAMES: Final = (f"{PACKAGE}.ServerReflection", f"{PACKAGE}alpha.ServerReflection")
"""The same service under both names that clients ask for."""
SERVICES: Final = (messages.SERVICE, health.HEALTH, *NAMES)
POOLS: Final = (messages.POOL, health.POOL, POOL)
NOT_FOUND: Final = 5
UNIMPLEMENTED: Final = 12

ServerReflectionRequest: Final = declared.message(POOL, f"{PACKAGE}.ServerReflectionRequest")
ServerReflectionResponse: Final = declared.message(POOL, f"{PACKAGE}.ServerReflectionResponse")


def handlers(allowed: Allowed | None) -> Sequence[grpc.GenericRpcHandler]:
    """The service under its names, for those who may ask."""

    async def info(requests: object, context: Context) -> None:
        if allowed is not None:
            await let_in(context, allowed)
        await _info(context)

    calls = {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(info)}
    return [grpc.method_handlers_generic_handler(name, calls) for name in NAMES]


async def _info(context: Context) -> None:
    while (body := await context.read()) is not grpc.aio.EOF:
        try:
            asked = parsed(ServerReflectionRequest, body)
        except Invalid as error:
            await refuse(context, error)
        await context.write(_answer(asked).SerializeToString())


def _answer(asked: Any) -> Any:
    answer = ServerReflectionResponse(valid_host=asked.host, original_request=asked)
    match asked.WhichOneof("message_request"):
        case "list_services":
            for name in SERVICES:
                answer.list_services_response.service.add(name=name)
        case "file_containing_symbol":
            _say_file(answer, asked.file_containing_symbol, _containing)
        case "file_by_filename":
            _say_file(answer, asked.file_by_filename, lambda pool, name: pool.FindFileByName(name))
        case _:
            answer.error_response.error_code = UNIMPLEMENTED
            answer.error_response.error_message = "there are no extensions"
    return answer


def _containing(pool: DescriptorPool, symbol: str) -> Any:
    try:
        return pool.FindFileContainingSymbol(symbol)
    except KeyError:  # a call of a service is no symbol to protobuf
        service, _, call = symbol.rpartition(".")
        return pool.FindServiceByName(service).methods_by_name[call].containing_service.file


def _say_file(answer: Any, name: str, find: Callable[[DescriptorPool, str], Any]) -> None:
    for pool in POOLS:
        try:
            answer.file_descriptor_response.file_descriptor_proto.append(find(pool, name).serialized_pb)
        except KeyError:
            continue
        return
    answer.error_response.error_code = NOT_FOUND
    answer.error_response.error_message = f"nothing is declared as {name!r}"
