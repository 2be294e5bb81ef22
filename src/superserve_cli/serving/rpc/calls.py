"""What the calls say that are no inference: the desk's answers as messages."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.json_format import ParseDict

from superserve_cli.serving.desk import Desk, Done
from superserve_cli.serving.refusals import Busy, Refusal, Unsupported
from superserve_cli.serving.rpc.codec import read_parameters
from superserve_cli.serving.rpc.messages import METHODS, POOL
from superserve_cli.serving.shared_memory import NO_CUDA

Said = Callable[[Desk, Any], Mapping[str, Any]]
"""What a desk says to a request; raises Refusal."""
Ordered = Callable[[Desk, Any, Done], None]
"""Have a desk do what a request orders; raises Refusal."""


def answer(name: str, said: Mapping[str, Any]) -> bytes:
    """The message of a call's answer, whose fields are given as JSON has them."""
    message = ParseDict(said, METHODS[name].response(), descriptor_pool=POOL)
    body: bytes = message.SerializeToString()
    return body


async def done(order: Ordered, desk: Desk, asked: Any) -> dict[str, Any]:
    """Wait until something is done; raises Refusal."""
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(refusal: Refusal | None) -> None:
        if waiting.done():
            return
        if refusal is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(refusal)

    order(desk, asked, told)
    await waiting
    return {}


def _model_ready(desk: Desk, asked: Any) -> dict[str, Any]:
    try:
        return {"ready": not desk.model(asked.name, asked.version).unready}
    except Busy:  # there is no model yet
        return {"ready": False}


def _metadata(desk: Desk, asked: Any) -> dict[str, Any]:
    said = desk.model(asked.name, asked.version).metadata()
    parameters = said.pop("parameters", {})
    return {**said, "properties": {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}}


def _regions(desk: Desk, asked: Any) -> dict[str, Any]:
    return {"regions": {region["name"]: region for region in desk.regions.status(asked.name)}}


def _register(desk: Desk, asked: Any) -> dict[str, Any]:
    desk.regions.register(asked.name, asked.key, asked.offset, asked.byte_size)
    return {}


def _unregister(desk: Desk, asked: Any) -> dict[str, Any]:
    desk.regions.unregister(asked.name)
    return {}


def _no_cuda(desk: Desk, asked: Any) -> dict[str, Any]:
    raise Unsupported(NO_CUDA)


def _logging(desk: Desk, asked: Any) -> dict[str, Any]:
    said = desk.logging(read_parameters(asked.settings))
    return {"settings": {name: {_setting(value): value} for name, value in said.items()}}


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "bool_param"
    return "uint32_param" if isinstance(value, int) else "string_param"


CALLS: Final[dict[str, Said]] = {
    "ServerLive": lambda desk, asked: {"live": True},
    "ServerReady": lambda desk, asked: {"ready": desk.ready},
    "ServerMetadata": lambda desk, asked: desk.server(),
    "ModelReady": _model_ready,
    "ModelMetadata": _metadata,
    "ModelConfig": lambda desk, asked: {"config": desk.model(asked.name, asked.version).config()},
    "ModelStatistics": lambda desk, asked: desk.statistics(asked.name, asked.version),
    "RepositoryIndex": lambda desk, asked: {"models": desk.index(asked.ready)},
    "SystemSharedMemoryStatus": _regions,
    "SystemSharedMemoryRegister": _register,
    "SystemSharedMemoryUnregister": _unregister,
    "CudaSharedMemoryStatus": lambda desk, asked: {},
    "CudaSharedMemoryRegister": _no_cuda,
    "CudaSharedMemoryUnregister": lambda desk, asked: {},
    "TraceSetting": lambda desk, asked: desk.trace(),
    "LogSettings": _logging,
}
ORDERS: Final[dict[str, Ordered]] = {
    "RepositoryModelLoad": lambda desk, asked, told: desk.load(asked.model_name, read_parameters(asked.parameters), told),
    "RepositoryModelUnload": lambda desk, asked, told: desk.unload(asked.model_name, told),
}
"""What takes its time."""
