"""The two doors of a server, HTTP and gRPC: their ports, who may enter, and that none is closed before the last answer is out."""

import asyncio
import errno
import logging
import resource
import ssl
import time
from collections.abc import Callable
from typing import Final

from superserve_cli.errors import Unreachable
from superserve_cli.serving.desk import Desk
from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.http import Connection
from superserve_cli.serving.keys import Keys, is_loopback
from superserve_cli.serving.logs import Event
from superserve_cli.serving.room import Room
from superserve_cli.serving.routes import Routes
from superserve_cli.serving.rpc.certificate import Certificate
from superserve_cli.serving.rpc.server import Rpc
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.site import Site
from superserve_cli.serving.tls import HANDSHAKE_S, Tls

log = logging.getLogger("superserve.server")

STEP_S: Final = 0.01
FLUSH_S: Final = 1.0
BACKLOG: Final = 4096
SLOW_STEP_S: Final = 1.0
OTHER_FILES: Final = 256
"""Open files that are no connections of clients."""
OPEN_PATHS: Final = frozenset(("/v2/health/live", "/v2/health/ready", "/"))
"""What may be asked without a key: those who only watch over a server have none, and the page asks for it."""


class Doors:
    """Where clients come in; raises BadFile at once for a certificate that none would accept."""

    def __init__(self, desk: Desk, room: Room, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys()
        self._ssl: ssl.SSLContext | None = None
        self._certificate: Certificate | None = None
        self._listening: asyncio.Server | None = None
        self.certificate_expires_s: float | None = None
        self.site = Site.of(Routes(desk), desk.most_body_bytes, settings.max_connections, room)
        if settings.tls is not None:
            self._ssl, self._certificate = settings.tls.context(), Certificate(*settings.tls.pem())
        self.keep(settings)
        credentials = self._certificate.credentials() if self._certificate is not None else None
        most, grpc = settings.max_connections, settings.grpc_port is not None
        self._rpc = Rpc(desk, most, settings.max_queue + most, self.allowed, credentials) if grpc else None
        self.url = self.grpc_url = ""

    async def listen(self) -> None:
        """Take the ports; health is answered from now on. Raises Unreachable."""
        settings = self._settings
        port = await self._listen_for_http()
        _allow_files((1 if self._rpc is None else 2) * settings.max_connections + OTHER_FILES)
        self._let_go_of_slow()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        s = "" if self._ssl is None else "s"
        self.url = f"http{s}://{host}:{port}"
        if self._rpc is not None and settings.grpc_port is not None:
            self.grpc_url = f"grpc{s}://{host}:{await self._rpc.listen(settings.host, settings.grpc_port)}"

    async def _listen_for_http(self) -> int:
        settings, handshake_s = self._settings, None if self._ssl is None else HANDSHAKE_S
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                lambda: Connection(self.site),
                settings.host,
                settings.port,
                backlog=BACKLOG,
                ssl=self._ssl,
                ssl_handshake_timeout=handshake_s,
            )
        except OSError as error:
            # asyncio puts a sentence with the address before the system's own
            why = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).rpartition(": ")[2]
            where, hint = f"{settings.host}:{settings.port}", "choose another --host or --port (port 0 picks a free one)"
            raise Unreachable(f"cannot listen on {where}: {why}", hint=hint) from error
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    def _let_go_of_slow(self) -> None:
        self.site.let_go_of_slow(time.monotonic())
        asyncio.get_running_loop().call_later(SLOW_STEP_S, self._let_go_of_slow)

    # who may enter

    def allowed(self, authorization: bytes | None) -> bool:
        """Whether whoever sends this Authorization header may ask."""
        return self._keys.allowed(authorization)

    def _allowed(self, exchange: Exchange) -> bool:
        return exchange.path in OPEN_PATHS or self.allowed(exchange.headers.get(b"authorization"))

    def keep(self, settings: Settings) -> None:
        """Take keys and certificate as they are now; raises BadFile, and then the certificate stays what it was."""
        self._keys = settings.keys
        self.site.allowed = self._allowed if settings.keys else None
        if settings.keys and self._ssl is None and not is_loopback(settings.host):
            log.warning(Event("keys_in_the_clear", hint="give --tls-cert and --tls-key, unless something before this server does TLS"))
        if settings.tls is not None:
            self._show(settings.tls)

    def _show(self, tls: Tls) -> None:
        if self._ssl is not None and self._certificate is not None:
            self.certificate_expires_s = tls.load_into(self._ssl)
            chain, key, _ = tls.pem()
            self._certificate.replace(chain, key)

    # their end

    def close(self) -> None:
        """Let nobody in any more."""
        if self._listening is not None:
            self._listening.close()

    def drain(self, longest_s: float) -> None:
        """Let nobody in any more, and everybody out who has had an answer; gRPC's calls may last for so long."""
        self.close()
        self.site.drain()
        if self._rpc is not None:
            self._rpc.drain(longest_s + FLUSH_S)

    async def emptied(self, at_once: Callable[[], bool]) -> None:
        """Wait until the last answer is out, but not for long, and not when it is to be at once."""
        if self._rpc is not None and not at_once():
            await self._rpc.drained(FLUSH_S)
        until_s = time.monotonic() + FLUSH_S
        while self.site.connections and time.monotonic() < until_s and not at_once():
            await asyncio.sleep(STEP_S)

    async def hang_up(self) -> None:
        """End what gRPC calls are left."""
        if self._rpc is not None:
            await self._rpc.stop()


def _allow_files(wanted: int) -> None:
    """Let this process open as many files, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
