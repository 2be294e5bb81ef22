"""`inference.GRPCInferenceService`: its calls as gRPC knows them, each behind the same checks."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from superserve_cli.serving.desk import Desk
from superserve_cli.serving.refusals import Refusal, TooLarge
from superserve_cli.serving.rpc.calls import CALLS, ORDERS, answer, done
from superserve_cli.serving.rpc.codec import parsed
from superserve_cli.serving.rpc.door import Allowed, Context, let_in, refuse
from superserve_cli.serving.rpc.infer import Stream, infer
from superserve_cli.serving.rpc.messages import METHODS, SERVICE, ModelInferRequest

OPEN: Final = frozenset(("ServerLive", "ServerReady"))
"""What can be asked without a key, as health over HTTP can."""
Call = Callable[[Any, Context], Awaitable[Any]]


class Service:
    """The calls of a desk. `allowed` says who may ask, None: everybody."""

    def __init__(self, desk: Desk, allowed: Allowed | None = None) -> None:
        self._desk = desk
        self._allowed = allowed
        self._streams: set[Stream] = set()
        self._draining = False

    def handler(self) -> grpc.GenericRpcHandler:
        """All its calls."""
        calls: dict[str, Call] = {name: self._said(name) for name in CALLS} | {name: self._ordered(name) for name in ORDERS}
        handlers = {name: grpc.unary_unary_rpc_method_handler(self._guarded(name, call)) for name, call in calls.items()}
        handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._guarded("ModelInfer", self._infer))
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._guarded("ModelStreamInfer", self._stream))
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def drain(self) -> None:
        """Have the streams end, each once it has its answers."""
        self._draining = True
        for stream in self._streams:
            stream.drain()

    def _guarded(self, name: str, call: Call) -> Call:
        """The call, for those who may ask."""
        allowed = self._allowed
        if allowed is None or name in OPEN:
            return call

        async def guarded(request: Any, context: Context) -> Any:
            await let_in(context, allowed)
            return await call(request, context)

        return guarded

    def _said(self, name: str) -> Call:
        said, kind = CALLS[name], METHODS[name].request

        async def call(body: bytes, context: Context) -> bytes:
            try:
                return answer(name, said(self._desk, parsed(kind, body)))
            except Refusal as refusal:
                await refuse(context, refusal)

        return call

    def _ordered(self, name: str) -> Call:
        order, kind = ORDERS[name], METHODS[name].request

        async def call(body: bytes, context: Context) -> bytes:
            try:
                return answer(name, await done(order, self._desk, parsed(kind, body)))
            except Refusal as refusal:
                await refuse(context, refusal)

        return call

    async def _infer(self, body: bytes, context: Context) -> bytes:
        return await infer(self._desk, self._request, body, context)

    async def _stream(self, requests: object, context: Context) -> None:
        stream = Stream(self._desk, self._request, context)
        self._streams.add(stream)
        if self._draining:
            stream.drain()
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    def _request(self, body: bytes) -> Any:
        if len(body) > self._desk.most_body_bytes:
            raise TooLarge(f"a request may have at most {self._desk.most_body_bytes} bytes, this one has {len(body)}")
        return parsed(ModelInferRequest, body)
