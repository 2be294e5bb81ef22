"""Keep-alive connections, one request at a time on each, as many as there are requests under way."""

import asyncio
import ssl
from collections import deque
from time import monotonic_ns
from typing import Any, Final, Protocol, cast

import httptools

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.serving.load.target import Target

NOBODY: Final = -1
GONE_NS: Final = 2 * NS_PER_S
"""A target that has refused every connection for this long, and holds none open, has gone."""


class Events(Protocol):
    """Whoever owns the requests: composes them when a connection is there, and hears what became of them."""

    def compose(self, id: int) -> bytes:
        """The bytes of a request that goes out now."""
        ...

    def answered(self, id: int, status: int, body: bytes, json_bytes: int | None) -> None:
        """A whole answer came."""
        ...

    def lost(self, id: int, reason: str) -> None:
        """No answer will come."""
        ...


class Connection(asyncio.Protocol):
    """One connection, and the parser of the answers on it."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._busy_with = NOBODY
        self._body: list[bytes] = []
        self._json_bytes: int | None = None

    def ask(self, id: int, message: bytes) -> None:
        """Send a request; the connection is busy until its answer is whole."""
        self._busy_with = id
        cast(asyncio.Transport, self._transport).write(message)

    def abort(self) -> None:
        """Hang up, now, without a word about a request that is under way."""
        self._busy_with = NOBODY
        cast(asyncio.Transport, self._transport).abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._pool.welcome(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # our own bug, in one of the methods below
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._fail("the target hung up" if exc is None else f"the connection broke: {exc}")
        self._pool.lost(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"inference-header-content-length" and value.isdigit():
            self._json_bytes = int(value)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        id, self._busy_with = self._busy_with, NOBODY
        body, json_bytes = b"".join(self._body), self._json_bytes
        self._body, self._json_bytes = [], None
        if id == NOBODY:  # an answer that nobody asked for
            self.abort()
            return
        self._pool.events.answered(id, self._parser.get_status_code(), body, json_bytes)
        if self._parser.should_keep_alive():
            self._pool.free(self)
        else:
            self.abort()

    def _fail(self, reason: str) -> None:
        id, self._busy_with = self._busy_with, NOBODY
        self.abort()
        if id != NOBODY:
            self._pool.events.lost(id, reason)


class Pool:
    """Gives every request a connection at once: an idle one, or a new one, until `limit` are open; then requests wait in order."""

    def __init__(self, target: Target, limit: int, events: Events) -> None:
        self.events = events
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = False
        self.opened = 0
        self.waited = 0
        self._target = target
        self._limit = limit
        self._tls = ssl.create_default_context() if target.place.tls else None
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[int] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._refused_since_ns = 0

    def submit(self, id: int) -> None:
        """Send a request as soon as a connection is there."""
        if self._idle:
            self._idle.pop().ask(id, self.events.compose(id))
            return
        self._waiting.append(id)
        self._grow()

    async def warm_up(self, connections: int) -> None:
        """Open the first connections before the run begins."""
        for _ in range(min(connections, self._limit)):
            self._grow()
        await asyncio.wait(self._opening)

    def welcome(self, connection: Connection) -> None:
        """A new connection is there."""
        self._refused_since_ns = 0
        self.opened += 1
        self._open.add(connection)
        self.free(connection)

    def free(self, connection: Connection) -> None:
        """A connection has nothing to do: the longest waiting request takes it."""
        if self._waiting:
            id = self._waiting.popleft()
            connection.ask(id, self.events.compose(id))
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is closed; another is opened when somebody waits."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._grow()

    def crash(self, context: dict[str, Any]) -> None:
        """The loop's exception handler: a bug in a callback ends the run; broken connections have been dealt with."""
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError) and not self.over.done():
            self.over.set_exception(error)

    def close(self) -> None:
        """Hang up everywhere."""
        self._waiting.clear()
        for task in self._opening:
            task.cancel()
        for connection in self._open:
            connection.abort()

    def _grow(self) -> None:
        if len(self._open) + len(self._opening) >= self._limit:
            self.waited += 1
            return
        task = asyncio.get_running_loop().create_task(self._connect())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        place = self._target.place
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: Connection(self), self._target.address, place.port, ssl=self._tls, server_hostname=place.host if self._tls else None
            )
        except OSError as error:
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        now = monotonic_ns()
        self._refused_since_ns = self._refused_since_ns or now
        if self._waiting:
            self.events.lost(self._waiting.popleft(), f"no connection: {error.strerror or error}")
        if not self._open and now - self._refused_since_ns > GONE_NS and not self.over.done():
            self.gone = True
            self.over.set_result(None)
