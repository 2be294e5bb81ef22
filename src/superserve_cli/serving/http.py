"""HTTP/1.1 on an event loop: bytes to exchanges, answers back in order. Knows nothing of inference.

Every exchange goes to the handler as soon as its body is whole, so pipelined requests are served side by side; answers wait for
those ahead of them. A client that hangs up is told to the exchange (`on_gone`), once. No client can keep the others waiting: what it
sends at once is handed over a little at a time, and it is not read while it does not read; who is too slow is let go.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import httptools

from superserve_cli.serving.exchange import Exchange

log = logging.getLogger("superserve.http")

MOST_HEAD_BYTES: Final = 64 * 1024
MOST_CONNECTIONS: Final = 4096
MOST_PIPELINED: Final = 1024
AT_ONCE: Final = 64
"""Requests of one client that are handed over before the event loop looks at others."""
PATIENCE_S: Final = 30.0
"""How long a request may take to arrive whole, and answers to be read."""
RECEIVE_BYTES: Final = 256 * 1024
LINGER_S: Final = 1.0
"""How long a refused upload is read and thrown away, so that its sender can read why before the connection closes."""


Handler = Callable[[Exchange], None]
"""Answers an exchange, now or later."""


@dataclass
class Site:
    """What all connections of a server share."""

    handler: Handler
    most_body_bytes: int
    most_connections: int
    connections: set["Connection"]
    buffer: memoryview
    draining: bool = False

    @classmethod
    def of(cls, handler: Handler, most_body_bytes: int, most_connections: int = MOST_CONNECTIONS) -> "Site":
        """A site with no connections yet."""
        # one buffer for all connections: the loop reads and hands over before it looks at the next one, and the parser copies out
        return cls(handler, most_body_bytes, most_connections, set(), memoryview(bytearray(RECEIVE_BYTES)))

    def connect(self) -> "Connection":
        """The protocol factory of the listening socket."""
        return Connection(self)

    def drain(self) -> None:
        """Let every connection go once its answers are sent; idle ones now."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_when_idle()

    def let_go_of_slow(self, now_s: float) -> None:
        """Part from clients whose request, or reading, has taken too long at this time of `time.monotonic`; to be called now and then."""
        for connection in list(self.connections):
            connection.close_when_slow(now_s - PATIENCE_S)


class Connection(asyncio.BufferedProtocol):
    """One client's connection."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._pipeline: deque[Exchange] = deque()
        self._whole: deque[Exchange] = deque()
        self._exchange = Exchange(self)
        self._chunks: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._in_head = self._in_message = self._refused = self._paused = False
        self._incomplete_since_s: float | None = None
        self._unread_since_s: float | None = None

    def ends_with(self, exchange: Exchange) -> bool:
        """Whether the server is about to stop, and the client has asked for nothing more than this."""
        return self._site.draining and bool(self._pipeline) and self._pipeline[-1] is exchange

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not registered as one
        if len(self._site.connections) >= self._site.most_connections:
            self._refuse(503, f"{self._site.most_connections} clients are connected already")
        else:
            self._site.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: nobody waits for the answers."""
        self._transport = None
        self._site.connections.discard(self)
        for exchange in self._pipeline:
            if exchange.on_gone is not None:
                exchange.on_gone()
        self._pipeline.clear()
        self._whole.clear()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive."""
        return self._site.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._refused:
            return
        begun = self._exchange if self._in_head else None
        try:
            self._feed(self._site.buffer[:nbytes])
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is not HTTP/1.1: {error}")
        # only a head that a whole read does not end can go on for ever: what a single read holds is little
        self._head_bytes = self._head_bytes + nbytes if self._in_head and self._exchange is begun else 0
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(431, f"the request's head is longer than {MOST_HEAD_BYTES} bytes")
        self._incomplete_since_s = (self._incomplete_since_s or time.monotonic()) if self._in_message else None
        self._hand_over()

    def pause_writing(self) -> None:
        """The client reads slower than it asks: it shall not ask for more."""
        self._unread_since_s = time.monotonic()
        self._pause()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._unread_since_s = None
        self._hand_over()

    # what the parser calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self._exchange, self._chunks, self._body_bytes = Exchange(self), [], 0
        self._in_head = self._in_message = True

    def on_url(self, url: bytes) -> None:
        """A piece of its target; the query says nothing to us."""
        self._exchange.path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._exchange.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is whole: a body that is too large is refused before it is sent."""
        self._in_head = False
        exchange = self._exchange
        exchange.method = self._parser.get_method().decode()
        exchange.path = exchange.path.partition("?")[0]
        exchange.closes = not self._parser.should_keep_alive() or self._parser.get_http_version() != "1.1"
        if self._parser.should_upgrade():
            return  # this head will come again
        if int(exchange.headers.get(b"content-length", b"0")) > self._site.most_body_bytes:
            self._refuse_body()
        elif exchange.headers.get(b"expect", b"").lower() == b"100-continue" and not self._pipeline and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(chunk)
        if self._body_bytes > self._site.most_body_bytes:
            self._refuse_body()
        elif not self._refused:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message, self._incomplete_since_s = False, None
        if self._refused:
            return
        self._exchange.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._pipeline.append(self._exchange)
        self._whole.append(self._exchange)

    # what we do

    def _feed(self, data: memoryview) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if not self._declines_upgrade():
                    return
            else:
                return

    def _declines_upgrade(self) -> bool:
        """Take the last request as if it had not asked for another protocol; false when nothing can follow it on this connection.

        The parser leaves a request at its head when it would upgrade (HTTP clients of Java and curl offer h2c beside a body), so it
        gets the head once more without the offer.
        """
        if self._refused:
            return False
        asked = self._exchange
        if asked.method == "CONNECT":
            self._refused = asked.closes = True
            return False
        self._pipeline.pop()
        self._whole.pop()
        version, self._parser = self._parser.get_http_version(), httptools.HttpRequestParser(self)
        lines = [f"{asked.method} {asked.path} HTTP/{version}".encode("latin-1")]
        lines += [name + b": " + value for name, value in asked.headers.items() if name != b"upgrade"]
        self._parser.feed_data(b"\r\n".join((*lines, b"", b"")))
        return True

    def _hand_over(self) -> None:
        for _ in range(AT_ONCE):
            if not self._whole or self._unread_since_s is not None:
                break
            self._handle(self._whole.popleft())
        if self._whole and self._unread_since_s is None:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._pause()

    def _handle(self, exchange: Exchange) -> None:
        try:
            self._site.handler(exchange)
        except Exception:
            log.exception("event=handler_failed method=%s path=%s", exchange.method, exchange.path)
            if not exchange.answered:
                exchange.fail(500, "the server has a bug; its log says more")

    def _refuse_body(self) -> None:
        self._refuse(413, f"the request's body is larger than {self._site.most_body_bytes} bytes")

    def _refuse(self, status: int, message: str) -> None:
        if self._refused:
            return
        self._refused = True
        exchange = Exchange(self)
        exchange.closes = True
        self._pipeline.append(exchange)
        exchange.fail(status, message)

    def flush(self) -> None:
        """Write the answers that nothing stands before."""
        pipeline, ready, closes = self._pipeline, [], False
        while pipeline and pipeline[0].answered and not closes:
            closes = pipeline[0].closes
            ready.append(pipeline.popleft().take_answer())
        if not ready or self._transport is None:
            return
        self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if closes:
            self._close()
        else:
            self._pause()

    def _close(self) -> None:
        if self._transport is None:
            return
        if self._refused:
            asyncio.get_running_loop().call_later(LINGER_S, self._transport.close)
        else:
            self._transport.close()

    def _pause(self) -> None:
        """Read on or not, as it should be now."""
        most = MOST_PIPELINED // 2 if self._paused else MOST_PIPELINED - 1
        pause = self._unread_since_s is not None or bool(self._whole) or len(self._pipeline) > most
        if self._transport is None or pause == self._paused:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._incomplete_since_s = time.monotonic() if self._in_message else None
            self._transport.resume_reading()

    def close_when_idle(self) -> None:
        """Close now if no answer is owed; else the last answer closes."""
        if not self._pipeline and self._transport is not None:
            self._transport.close()

    def close_when_slow(self, since_s: float) -> None:
        """Close if a request has been incomplete, or answers have been unread, since this time."""
        if self._unread_since_s is not None and self._unread_since_s < since_s and self._transport is not None:
            self._transport.abort()
        elif self._incomplete_since_s is not None and self._incomplete_since_s < since_s and not self._paused:
            self._refuse(408, f"the request did not arrive within {PATIENCE_S:g} s")
