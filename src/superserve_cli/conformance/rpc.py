"""A plain gRPC client of the protocol's service."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc

from superserve_cli.conformance.verdict import Unmet
from superserve_cli.errors import BadOption, Unreachable
from superserve_cli.serving.load.place import Access
from superserve_cli.serving.rpc.messages import METHODS

PATIENCE_S: Final = 20.0
START_S: Final = 5.0
SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call came to: a status of gRPC, and the messages that came before it."""

    code: str
    details: str
    messages: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.details.split())[:SHOWN]}".strip()


@dataclass(frozen=True, slots=True)
class Rpc:
    """A channel to a server."""

    channel: Any
    metadata: tuple[tuple[str, str], ...]

    def ask(self, method: str, **fields: Any) -> Reply:
        """What one call of the service comes to."""
        return self.send(method, METHODS[method].request(**fields))

    def send(self, method: str, request: Any) -> Reply:
        """The same with a request made by hand."""
        told = METHODS[method]
        call = self.channel.unary_unary(told.path, told.request.SerializeToString, told.response.FromString)
        return self._answered(lambda: (call(request, timeout=PATIENCE_S, metadata=self.metadata),))

    def stream(self, method: str, requests: Sequence[Any]) -> Reply:
        """What a call with a stream on both sides comes to."""
        told = METHODS[method]
        call = self.channel.stream_stream(told.path, told.request.SerializeToString, told.response.FromString)
        return self._answered(lambda: tuple(call(iter(requests), timeout=PATIENCE_S, metadata=self.metadata)))

    def send_bytes(self, path: str, request: bytes) -> Reply:
        """What a call of any service comes to, its messages as bytes."""
        call = self.channel.unary_unary(path)
        return self._answered(lambda: (call(request, timeout=PATIENCE_S, metadata=self.metadata),))

    @staticmethod
    def _answered(call: Any) -> Reply:
        try:
            return Reply("OK", "", call())
        except grpc.RpcError as error:
            return Reply(error.code().name, str(error.details() or ""))

    def got(self, method: str, **fields: Any) -> Any:
        """The message of a call that must succeed; raises Unmet."""
        return message(self.ask(method, **fields))


def message(reply: Reply) -> Any:
    """The message of a success; raises Unmet."""
    if reply.code != "OK":
        raise Unmet("status OK", str(reply))
    return reply.messages[0]


def refused(reply: Reply, *codes: str) -> None:
    """One of these statuses, with a message; raises Unmet."""
    if reply.code not in codes or not reply.details:
        raise Unmet(f"{' or '.join(codes)} and a message", str(reply))


@contextmanager
def opened(address: str, headers: Mapping[str, str], tls: bool, access: Access) -> Iterator[Rpc]:
    """A client of HOST:PORT; raises BadOption for what is no address, and Unreachable when nobody speaks gRPC there."""
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isdigit():
        raise BadOption(f"--grpc {address} is no address", hint="write HOST:PORT")
    with grpc.secure_channel(address, _credentials(access)) if tls else grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(START_S)
        except grpc.FutureTimeoutError:
            raise Unreachable(f"nothing speaks gRPC at {address}", hint="start a server, or check --grpc") from None
        yield Rpc(channel, tuple((name.lower(), value) for name, value in headers.items()))


def _credentials(access: Access) -> grpc.ChannelCredentials:
    if access.insecure:
        raise BadOption("gRPC believes no certificate unseen", hint="give --ca FILE in place of --insecure-tls, or leave --grpc out")
    return grpc.ssl_channel_credentials(None if access.ca is None else access.ca.read_bytes())
