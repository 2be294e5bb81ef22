"""gRPC on the router's own event loop: the other door to the desk.

The library has a thread of its own that waits for the sockets; it runs no Python.
"""

import asyncio
import errno
import logging
import socket
from typing import Final

import grpc
import grpc.aio

from superserve_cli.errors import Unreachable
from superserve_cli.serving.desk import Desk
from superserve_cli.serving.logs import Event
from superserve_cli.serving.rpc import hostile, reflection
from superserve_cli.serving.rpc.door import Allowed
from superserve_cli.serving.rpc.health import Health
from superserve_cli.serving.rpc.service import Service

log = logging.getLogger("superserve.grpc")

MOST_CALLS_OF_ONE: Final = 4096
"""Calls of one connection at a time; its client keeps the others back."""
MOST_METADATA_BYTES: Final = 64 * 1024
PING_MS: Final = 60_000
"""How often a silent client is asked whether it is there."""
PING_PATIENCE_MS: Final = 20_000
LEAST_PING_MS: Final = 10_000
"""How often clients may ask the same of the server."""
IDLE_MS: Final = 600_000
"""How long a connection may stay without a call."""
HANDSHAKE_MS: Final = 10_000
LOOK_S: Final = 0.2
"""How often is looked whether the library's server has ended of a client's bytes: there is no way to be told."""


class Rpc:
    """A gRPC server: the inference service, health and reflection, on one port.

    At most `most_calls` are there at a time, streams and watchers of health included. The desk's limit at the start bounds every
    message. `allowed` says who may ask by their Authorization, None: everybody; `credentials` make it TLS.
    """

    def __init__(
        self,
        desk: Desk,
        most_connections: int,
        most_calls: int,
        allowed: Allowed | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        hostile.quieten()
        self._draining = asyncio.Event()
        self._service = Service(desk, allowed)
        health = Health(lambda: desk.ready, self._draining)
        self._handlers = self._service.handler(), health.handler(), *reflection.handlers(allowed)
        self._options = _options(desk.most_body_bytes, most_connections)
        self._most_calls = most_calls
        self._credentials = credentials
        self._server = self._made()
        self._stopping: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def _made(self) -> grpc.aio.Server:
        return grpc.aio.server(handlers=self._handlers, options=self._options, maximum_concurrent_rpcs=self._most_calls)

    async def listen(self, host: str, port: int) -> int:
        """Take a port (0: any) and answer from now on; the port. Raises Unreachable."""
        try:
            _try(host, port)  # gRPC would write to stderr, and say less
            address = f"{f'[{host}]' if ':' in host else host}:{port}"
            taken = self._bind(address)
        except (OSError, RuntimeError) as error:
            raise Unreachable(f"cannot listen on {host}:{port} for gRPC: {_why(error)}", hint=HINT) from error
        await self._server.start()
        self._watching = asyncio.create_task(self._watch(f"{address.rpartition(':')[0]}:{taken}"))
        return taken

    def _bind(self, address: str) -> int:
        server, credentials = self._server, self._credentials
        port: int = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
        return port

    async def _watch(self, address: str) -> None:
        """Put another server in the place of one that has ended of a client's bytes, and its calls with it."""
        running = True
        while running:
            try:
                running = await self._server.wait_for_termination(LOOK_S)
            except UnicodeDecodeError as error:
                log.warning(Event("grpc_restart", reason=error))
                await self._server.stop(None)
                self._server = self._made()
                self._bind(address)
                await self._server.start()

    def drain(self, within_s: float) -> None:
        """Take no more calls; those that are there may still have their answers, for so long."""
        self._end_watch()
        self._draining.set()
        self._service.drain()
        self._stopping = asyncio.create_task(self._server.stop(within_s))

    async def drained(self, within_s: float) -> None:
        """Wait until the last answer is sent, but not for longer."""
        if self._stopping is not None:
            await asyncio.wait((self._stopping,), timeout=within_s)

    async def stop(self) -> None:
        """End what calls are left."""
        self._end_watch()
        await self._server.stop(None)

    def _end_watch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()


HINT: Final = "choose another --grpc-port (0 picks a free one), or --no-grpc"


def _options(most_bytes: int, most_connections: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else two servers could share a port, and its clients
        ("grpc.max_receive_message_length", most_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.absolute_max_metadata_size", MOST_METADATA_BYTES),
        ("grpc.max_metadata_size", MOST_METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", most_connections),
        ("grpc.max_concurrent_streams", MOST_CALLS_OF_ONE),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.keepalive_time_ms", PING_MS),
        ("grpc.keepalive_timeout_ms", PING_PATIENCE_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", LEAST_PING_MS),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    ]


def _try(host: str, port: int) -> None:
    """Take a port and give it back; raises OSError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()


def _why(error: OSError | RuntimeError) -> str:
    if not isinstance(error, OSError):
        return str(error).partition(";")[0]
    return "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
