import os
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from superserve_cli.serving.load.wire import Answered, Buffer, Codec, Nonsense

NOBODY: Final = -1
ROOM: Final = 1 << 18
NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Broken(Exception):
    """A connection that is of no use any more."""


class Connection:
    """A socket that never blocks, and what is spoken on it; one request at a time.

    `busy_with` is the request whose answer is awaited. Its methods raise Broken when it is over; whoever owns it then closes it.
    """

    def __init__(self, wire: socket.socket, codec: Codec, room: memoryview, tls: ssl.SSLContext | None, host: str) -> None:
        self.busy_with = NOBODY
        self.unsent: list[memoryview] = []
        self.open = False
        self._wire = wire
        self._codec = codec
        self._room = room
        self._tls = tls
        self._host = host
        self._shakes = True

    @property
    def wants_to_write(self) -> bool:
        """Whether it waits for room to send, rather than for what comes."""
        return bool(self.unsent) if self.open else self._shakes

    def fileno(self) -> int:
        """The socket's number."""
        return self._wire.fileno()

    def close(self) -> None:
        """Hang up, now, without a word about a request that is under way."""
        self._wire.close()

    def establish(self) -> bool:
        """Go on with connecting; whether it can be asked now. Raises OSError where it is refused."""
        if error := self._wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        if self._tls is not None and not self._handshake(self._tls):
            return False
        self.open = True
        self._send(self._codec.greeting())
        return True

    def _handshake(self, tls: ssl.SSLContext) -> bool:
        if not isinstance(self._wire, ssl.SSLSocket):
            self._wire = tls.wrap_socket(self._wire, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            self._wire.do_handshake()
        except ssl.SSLWantReadError:
            self._shakes = False
            return False
        except ssl.SSLWantWriteError:
            self._shakes = True
            return False
        return True

    def ask(self, id: int, parts: Sequence[Buffer]) -> None:
        """Send a request; the connection is busy until its answer is whole."""
        self.busy_with = id
        self._send(self._codec.ask(parts))

    def read(self) -> Answered | None:
        """What has arrived: an answer, when it is whole."""
        answer = None
        while True:
            try:
                size = self._wire.recv_into(self._room)
            except NOT_NOW:
                return answer
            except OSError as error:
                raise Broken(f"the connection broke: {error.strerror or error}") from None
            if size == 0:
                if answer is not None:
                    return answer
                raise Broken("the target hung up")
            answer = self._fed(self._room[:size]) or answer
            if self._tls is None:  # what a plain socket has left, epoll tells; what TLS has, nobody
                return answer

    def flush(self) -> None:
        """Send what could not be sent before."""
        unsent, self.unsent = self.unsent, []
        self._send(unsent)

    def _fed(self, data: memoryview) -> Answered | None:
        try:
            answer = self._codec.feed(data)
        except Nonsense as error:
            raise Broken(str(error)) from None
        if self._codec.control:
            self._send(self._codec.take_control())
        return answer

    def _send(self, parts: Sequence[Buffer]) -> None:
        if self.unsent or not parts:
            self.unsent += map(memoryview, parts)
            return
        try:
            sent = self._wire.send(b"".join(parts)) if self._tls is not None else self._wire.sendmsg(parts)
        except NOT_NOW:
            sent = 0
        except OSError as error:
            raise Broken(f"the connection broke: {error.strerror or error}") from None
        if sent < sum(map(len, parts)):
            self.unsent = _after(parts, sent)


def _after(parts: Sequence[Buffer], sent: int) -> list[memoryview]:
    """What is left of parts of which so many bytes are gone."""
    left = []
    for part in parts:
        if sent < len(part):
            left.append(memoryview(part)[sent:])
        sent = max(0, sent - len(part))
    return left
