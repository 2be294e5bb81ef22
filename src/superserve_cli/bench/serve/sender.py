"""Load that costs little: prebuilt bytes over plain sockets and epoll, one request at a time on each connection."""

import select
import socket
import time
from collections import deque
from typing import Final

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.errors import SuperserveError

RECEIVE_BYTES: Final = 64 * 1024
HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"Content-Length: "
OK: Final = b"HTTP/1.1 200 "


class Sender:
    """Connections to one server, over which one and the same request is sent again and again."""

    def __init__(self, address: tuple[str, int], message: bytes, connections: int) -> None:
        self._message = message
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        for _ in range(connections):
            one = socket.create_connection(address)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[one.fileno()] = one
            self._epoll.register(one, select.EPOLLIN)

    def close(self) -> None:
        """Hang up."""
        self._epoll.close()
        for one in self._sockets.values():
            one.close()

    def as_fast_as_it_goes(self, seconds: float) -> int:
        """How many requests were answered when every connection asks again as soon as it has its answer."""
        for fd in self._sockets:
            self._send(fd)
        answered, open_ = 0, len(self._sockets)
        until_ns = time.monotonic_ns() + round(seconds * NS_PER_S)
        while open_:
            again = time.monotonic_ns() < until_ns
            for fd in self._answered(None):
                answered += 1
                if again:
                    self._send(fd)
                else:
                    open_ -= 1
        return answered

    def at_a_rate(self, per_s: float, seconds: float) -> list[int]:
        """The latency of each request in ns, from when it was due to its answer; they are due at even steps."""
        idle = deque(self._sockets)
        asked: dict[int, int] = {}
        latency_ns: list[int] = []
        step_ns, count = round(NS_PER_S / per_s), round(per_s * seconds)
        begun_ns, sent = time.monotonic_ns(), 0
        while len(latency_ns) < count:
            due_ns = begun_ns + sent * step_ns
            while sent < count and idle and due_ns <= time.monotonic_ns():
                asked[fd := idle.popleft()] = due_ns
                self._send(fd)
                sent, due_ns = sent + 1, due_ns + step_ns
            wait_s = max(0, due_ns - time.monotonic_ns()) / NS_PER_S if sent < count and idle else None
            for fd in self._answered(wait_s):
                latency_ns.append(time.monotonic_ns() - asked.pop(fd))
                idle.append(fd)
        return latency_ns

    def _send(self, fd: int) -> None:
        self._sockets[fd].sendall(self._message)  # blocks while the server does not read, and the server never waits for us

    def _answered(self, wait_s: float | None) -> list[int]:
        """The connections whose answer is whole now, after at most so long, or as long as it takes."""
        # epoll counts milliseconds, in which many a request falls due; to look again and again would take the server's cores
        select.select([self._epoll], [], [], wait_s)
        return [fd for fd, _ in self._epoll.poll(0) if self._whole(fd)]

    def _whole(self, fd: int) -> bool:
        data = self._partial.pop(fd, b"") + (more := self._sockets[fd].recv(RECEIVE_BYTES))
        if not more or not OK.startswith(data[: len(OK)]):
            raise SuperserveError(f"the server answered {data[:200]!r}", hint="its own output above says why")
        end = data.find(HEAD_END)
        if end >= 0:
            at = data.index(LENGTH) + len(LENGTH)
            if len(data) >= end + len(HEAD_END) + int(data[at : data.index(b"\r", at)]):
                return True
        self._partial[fd] = data
        return False
