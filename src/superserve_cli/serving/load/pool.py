"""Keep-alive connections, one request at a time on each, as many as there are requests under way; and the wait for their sockets."""

import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Final, Protocol

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.serving.load.connection import NOBODY, ROOM, Broken, Connection
from superserve_cli.serving.load.http1 import Http1
from superserve_cli.serving.load.http2 import Http2
from superserve_cli.serving.load.place import Access
from superserve_cli.serving.load.target import Target
from superserve_cli.serving.load.wire import Buffer, Codec

GONE_NS: Final = 2 * NS_PER_S
"""A target that has refused every connection for this long, and holds none open, has gone."""
WARMING_NS: Final = 5 * NS_PER_S
EVENTS: Final = 64
"""After so many in a row it is looked whether a request is due."""
READ, WRITE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR, select.EPOLLOUT


class Events(Protocol):
    """Whoever owns the requests: composes them when a connection is there, and hears what became of them."""

    def compose(self, id: int) -> Sequence[Buffer]:
        """The bytes of a request that goes out now."""
        ...

    def answered(self, id: int, status: int, body: bytes, json_bytes: int | None) -> None:
        """A whole answer came."""
        ...

    def lost(self, id: int, reason: str) -> None:
        """No answer will come."""
        ...


class Pool:
    """Gives every request a connection at once: an idle one, or a new one, until `limit` are open; then requests wait in order."""

    def __init__(self, target: Target, access: Access, limit: int, events: Events) -> None:
        self.gone = False
        self.opened = 0
        self.waited = 0
        self._epoll = select.epoll()
        self._target = target
        self._tls = access.context(target.place)
        self._codec: Callable[[], Codec] = Http1 if not target.place.rpc else lambda: Http2(target.place, target.path, access.headers)
        self._limit = limit
        self._events = events
        self._room = memoryview(bytearray(ROOM))
        self._all: dict[int, Connection] = {}
        self._over: list[Connection] = []
        self._idle: list[Connection] = []
        self._waiting: deque[int] = deque()
        self._opening = 0
        self._refused_since_ns = 0

    def submit(self, id: int) -> None:
        """Send a request as soon as a connection is there."""
        if self._idle:
            self._ask(self._idle.pop(), id)
            return
        self._waiting.append(id)
        self._grow()

    def warm_up(self, connections: int) -> None:
        """Open the first connections before the run begins."""
        for _ in range(min(connections, self._limit)):
            self._grow()
        end = monotonic_ns() + WARMING_NS
        while self._opening and monotonic_ns() < end:
            self.turn(NS_PER_S // 10)

    def turn(self, patience_ns: int) -> None:
        """Do what the sockets are ready for, waiting for one of them at most so long."""
        if patience_ns > 0 and not select.select((self._epoll,), (), (), patience_ns / NS_PER_S)[0]:
            return  # epoll's own patience counts whole milliseconds
        for number, what in self._epoll.poll(0, EVENTS):
            connection = self._all.get(number)
            if connection is not None:  # not lost in this very turn
                self._serve(connection, what)
        while self._over:  # not before: the numbers of what is closed are given out again
            self._over.pop().close()

    def close(self) -> None:
        """Hang up everywhere."""
        self._waiting.clear()
        for connection in [*self._all.values(), *self._over]:
            connection.close()
        self._all.clear()
        self._epoll.close()

    def _serve(self, connection: Connection, what: int) -> None:
        if not connection.open:
            self._establish(connection)
            return
        try:
            if what & WRITE:
                connection.flush()
                self._watch(connection)
            if what & READ:
                self._read(connection)
        except Broken as broken:
            self._lost(connection, str(broken))

    def _read(self, connection: Connection) -> None:
        answer = connection.read()
        if answer is None:
            if connection.unsent:
                self._watch(connection)
            return
        id, connection.busy_with = connection.busy_with, NOBODY
        if id == NOBODY:
            raise Broken("an answer that nobody asked for")
        self._events.answered(id, answer.status, answer.body, answer.json_bytes)
        if not answer.again or connection.unsent:
            raise Broken("the target answers once per connection")
        self._free(connection)

    def _ask(self, connection: Connection, id: int) -> None:
        try:
            connection.ask(id, self._events.compose(id))
        except Broken as broken:
            self._lost(connection, str(broken))
            return
        if connection.unsent:
            self._watch(connection)

    def _free(self, connection: Connection) -> None:
        """A connection has nothing to do: the longest waiting request takes it."""
        if self._waiting:
            self._ask(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _watch(self, connection: Connection) -> None:
        self._epoll.modify(connection.fileno(), READ | WRITE if connection.wants_to_write else READ)

    def _lost(self, connection: Connection, reason: str) -> None:
        """A connection is over, and so is the request on it; another is opened when somebody waits."""
        self._forget(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.busy_with != NOBODY:
            self._events.lost(connection.busy_with, reason)
        if self._waiting:
            self._grow()

    def _forget(self, connection: Connection) -> None:
        del self._all[connection.fileno()]
        self._over.append(connection)

    def _grow(self) -> None:
        if len(self._all) >= self._limit:
            self.waited += 1
            return
        try:
            connection = self._begun()
        except OSError as error:
            self._refused(error)
            return
        self._all[connection.fileno()] = connection
        self._opening += 1
        self._epoll.register(connection.fileno(), READ | WRITE)

    def _begun(self) -> Connection:
        address, port = self._target.address, self._target.place.port
        wire = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        wire.setblocking(False)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (error := wire.connect_ex((address, port))) not in (0, errno.EINPROGRESS):
            wire.close()
            raise OSError(error, os.strerror(error))
        return Connection(wire, self._codec(), self._room, self._tls, self._target.place.host)

    def _establish(self, connection: Connection) -> None:
        try:
            if not connection.establish():
                self._watch(connection)
                return
        except (OSError, Broken) as error:
            self._opening -= 1
            self._forget(connection)
            self._refused(error)
            return
        self._opening -= 1
        self._refused_since_ns = 0
        self.opened += 1
        self._watch(connection)
        self._free(connection)

    def _refused(self, error: Exception) -> None:
        now = monotonic_ns()
        self._refused_since_ns = self._refused_since_ns or now
        if self._waiting:
            self._events.lost(self._waiting.popleft(), f"no connection: {getattr(error, 'strerror', None) or error}")
        self.gone = len(self._all) == self._opening and now - self._refused_since_ns > GONE_NS
