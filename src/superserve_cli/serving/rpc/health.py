"""`grpc.health.v1.Health`: whether the server, or a service of it, would serve now. Open to everybody."""

import asyncio
from collections.abc import Callable
from typing import Final

import grpc

from superserve_cli.serving.refusals import Invalid
from superserve_cli.serving.rpc import declared
from superserve_cli.serving.rpc.codec import parsed
from superserve_cli.serving.rpc.door import Context, refuse
from superserve_cli.serving.rpc.messages import SERVICE

PACKAGE: Final = "grpc.health.v1"
POOL: Final = declared.pool("health")
HEALTH: Final = f"{PACKAGE}.Health"
SERVICES: Final = ("", SERVICE, HEALTH)
"""What can be asked for; "" is the server as a whole."""
WATCH_STEP_S: Final = 0.1
"""How soon a watcher hears of a change."""

HealthCheckRequest: Final = declared.message(POOL, f"{PACKAGE}.HealthCheckRequest")
HealthCheckResponse: Final = declared.message(POOL, f"{PACKAGE}.HealthCheckResponse")
UNKNOWN: Final[int] = HealthCheckResponse.UNKNOWN
SERVING: Final[int] = HealthCheckResponse.SERVING
NOT_SERVING: Final[int] = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: Final[int] = HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """The service; `ready` says whether inference would be served now, `draining` that the server is about to end."""

    def __init__(self, ready: Callable[[], bool], draining: asyncio.Event) -> None:
        self._ready = ready
        self._draining = draining

    def handler(self) -> grpc.GenericRpcHandler:
        """Its two calls."""
        calls = {"Check": grpc.unary_unary_rpc_method_handler(self._check), "Watch": grpc.unary_stream_rpc_method_handler(self._watch)}
        return grpc.method_handlers_generic_handler(HEALTH, calls)

    def _status(self, service: str) -> int:
        if service not in SERVICES:
            return SERVICE_UNKNOWN
        return SERVING if self._ready() and not self._draining.is_set() else NOT_SERVING

    async def _check(self, body: bytes, context: Context) -> bytes:
        service = await _service(body, context)
        if (status := self._status(service)) == SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {service!r}")
        return _answer(status)

    async def _watch(self, body: bytes, context: Context) -> None:
        """Say how it is, and again at every change, until the server ends."""
        service, said = await _service(body, context), UNKNOWN
        while True:
            ends = self._draining.is_set()
            if (status := self._status(service)) != said:
                await context.write(_answer(status))
                said = status
            if ends:
                return
            await _happened(self._draining, WATCH_STEP_S)


async def _service(body: bytes, context: Context) -> str:
    try:
        service: str = parsed(HealthCheckRequest, body).service
    except Invalid as error:
        await refuse(context, error)
    return service


def _answer(status: int) -> bytes:
    answer: bytes = HealthCheckResponse(status=status).SerializeToString()
    return answer


async def _happened(event: asyncio.Event, within_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return
