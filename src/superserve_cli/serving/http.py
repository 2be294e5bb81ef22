"""HTTP/1.1 on an event loop: bytes to exchanges, answers back in order. Knows nothing of inference.

Every exchange goes to the handler as soon as its body is whole, so pipelined requests are served side by side; answers wait for
those ahead of them. A client that hangs up is told to the exchange (`on_gone`), once. No client can keep the others waiting: what it
sends at once is handed over a little at a time, and it is not read while it does not read; who is too slow, or idle for too long, is
let go.

Heads are read from a buffer that all connections share. The rest of a body that does not end in that buffer is received into memory
of its own, straight from the system: no parser sees it, and nothing is joined.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Final, cast

from superserve_cli.serving.chunks import Chunks, TooLong
from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.heads import CHUNKED, Head, HeadReader, NotHttp
from superserve_cli.serving.logs import Event
from superserve_cli.serving.refusals import Busy
from superserve_cli.serving.site import LEAST_IDLE_S, PATIENCE_S, Site

log = logging.getLogger("superserve.http")

MOST_HEAD_BYTES: Final = 64 * 1024
MOST_PIPELINED: Final = 1024
AT_ONCE: Final = 64
"""Requests of one client that are handed over before the event loop looks at others."""
LINGER_S: Final = 1.0
"""How long a refused upload is read and thrown away, so that its sender can read why before the connection closes."""
HEAD_END: Final = b"\r\n\r\n"
LINE_ENDS: Final = b"\r\n"
LAST_LINE_END: Final = max(LINE_ENDS)


class Connection(asyncio.BufferedProtocol):
    """One client's connection."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport | None = None
        self._pipeline: deque[Exchange] = deque()
        self._whole: deque[Exchange] = deque()
        self._refused = self._paused = False
        self._incomplete_since_s: float | None = None
        self._unread_since_s: float | None = None
        self.idle_since_s = site.now_s
        # the request that is arriving: a head that is not whole, or an exchange with its body, of which `_held` bytes are in the room
        self._partial = bytearray()
        self._reader = HeadReader()
        self._exchange: Exchange | None = None
        self._chunks: Chunks | None = None
        self._body: memoryview | None = None
        self._filled = self._held = self._at_once = 0

    def ends_with(self, exchange: Exchange) -> bool:
        """Whether the server is about to stop, and the client has asked for nothing more than this."""
        return self._site.draining and bool(self._pipeline) and self._pipeline[-1] is exchange

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not registered as one
        site = self._site
        if len(site.connections) >= site.most_connections and not site.let_go_of_idlest(LEAST_IDLE_S):
            self._refuse(503, f"{site.most_connections} clients are connected already", "Retry-After: 1\r\n")
        else:
            site.connections.add(self)
            self._rest()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: nobody waits for the answers, and what it had begun to send is of no use."""
        self._transport = None
        self._site.connections.discard(self)
        self._site.idle.pop(self, None)
        for exchange in self._whole:
            self._site.room.give(len(exchange.body))
        for exchange in self._pipeline:
            if exchange.on_gone is not None:
                exchange.on_gone()
        self._pipeline.clear()
        self._whole.clear()
        self._forget_body()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive: the rest of a body where it belongs, all else where it is looked at."""
        return self._site.buffer if self._body is None else self._body[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._refused:
            return
        self._at_once = AT_ONCE
        try:
            if self._body is None:
                self._read(nbytes)
            else:
                self._fill(nbytes)
        except NotHttp as error:
            self._refuse(400, f"this is not HTTP/1.1: {error}")
        except TooLong:
            self._refuse_body()
        except Busy as busy:
            self._refuse(busy.status, str(busy), f"Retry-After: {busy.retry_after_s}\r\n")
        if self._partial or self._exchange is not None:
            self._incomplete_since_s = self._incomplete_since_s or time.monotonic()
        if self._whole or len(self._pipeline) >= MOST_PIPELINED:
            self._go_on()
            self._pause()

    def pause_writing(self) -> None:
        """The client reads slower than it asks: it shall not ask for more."""
        self._unread_since_s = time.monotonic()
        self._pause()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._unread_since_s = None
        self._hand_over()

    # how bytes become exchanges

    def _read(self, end: int) -> None:
        at = 0
        while at < end and not self._refused:
            if self._chunks is None:
                at = self._read_head(at, end)
            else:
                at += self._read_chunks(self._chunks, bytes(self._site.buffer[at:end]))

    def _read_head(self, at: int, end: int) -> int:
        """Read a head, or what there is of it; where what follows begins."""
        received = self._site.received
        if self._partial:
            return self._read_on(at, end)
        if received[at] <= LAST_LINE_END:  # clients of old sent some more behind a body
            at = end - len(received[at:end].lstrip(LINE_ENDS))
        stop = received.find(HEAD_END, at, end) + len(HEAD_END)
        if stop < len(HEAD_END):
            return self._read_on(at, end)
        return self._begin(self._site.heads.read(bytes(self._site.buffer[at:stop])), stop, end)

    def _read_on(self, at: int, end: int) -> int:
        """Read a head that comes in pieces."""
        piece, before = bytes(self._site.buffer[at:end]), len(self._partial)
        self._partial += piece
        stop = self._partial.find(HEAD_END, max(0, before - len(HEAD_END))) + len(HEAD_END)
        if (len(self._partial) if stop < len(HEAD_END) else stop) > MOST_HEAD_BYTES:
            self._refuse(431, f"the request's head is longer than {MOST_HEAD_BYTES} bytes")
        elif stop < len(HEAD_END):
            self._reader.feed(piece)  # what can no longer become a head is refused now, not when it ends
        else:
            whole, self._partial, self._reader = bytes(self._partial[:stop]), bytearray(), HeadReader()
            return self._begin(self._site.heads.read(whole), at + stop - before, end)
        return end

    def _begin(self, head: Head, at: int, end: int) -> int:
        """A head is whole, and a body may follow; one that is too large is refused before it is sent. Where what follows begins."""
        exchange = Exchange(self, head)
        self._site.idle.pop(self, None)
        length, allowed = head.length, self._site.allowed
        if allowed is not None and not allowed(exchange):
            self._refuse(401, "an API key is needed: send the header Authorization: Bearer KEY", "WWW-Authenticate: Bearer\r\n")
        elif length > self._site.most_body_bytes:
            self._refuse_body()
        elif head.method == "CONNECT":
            exchange.closes = self._refused = True  # nothing that follows is for us
            self._finish(exchange)
        elif 0 <= length <= end - at:
            stop = at + length
            exchange.body = bytes(self._site.buffer[at:stop])
            self._finish(exchange)
            return stop
        else:
            return self._await_body(exchange, head, at, end)
        return end

    def _await_body(self, exchange: Exchange, head: Head, at: int, end: int) -> int:
        """Find a place for a body that has not come with its head, or comes in chunks."""
        if head.length == CHUNKED:
            self._chunks = Chunks(self._site.most_body_bytes)
        else:
            self._hold(head.length)
            self._body, self._filled = self._site.buffers.take(head.length), end - at
            self._body[: self._filled] = self._site.buffer[at:end]
            at = end
        self._exchange = exchange
        if head.expects_continue and not self._pipeline and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return at

    def _fill(self, nbytes: int) -> None:
        """More of a long body has come, where it belongs."""
        assert self._exchange is not None
        assert self._body is not None
        self._filled += nbytes
        if self._filled == len(self._body):
            self._exchange.body, self._body = self._body, None
            self._finish(self._exchange)

    def _read_chunks(self, chunks: Chunks, data: bytes) -> int:
        assert self._exchange is not None
        taken = chunks.feed(data)
        self._hold(len(chunks.body) - self._held)
        if chunks.whole:
            self._exchange.body, self._chunks = bytes(chunks.body), None
            self._finish(self._exchange)
        return taken

    def _hold(self, size: int) -> None:
        self._site.room.take(size)
        self._held += size

    def _finish(self, exchange: Exchange) -> None:
        """A request is whole: it goes to the handler, unless so many have gone already that others come first."""
        self._exchange = self._incomplete_since_s = None
        if self._held:
            self._site.room.give(self._held)
            self._held = 0
        if self._at_once and not self._whole and self._unread_since_s is None:
            self._at_once -= 1
            self._pipeline.append(exchange)
            self._handle(exchange)
        else:
            self._site.room.take(len(exchange.body))
            self._pipeline.append(exchange)
            self._whole.append(exchange)

    def _forget_body(self) -> None:
        self._site.room.give(self._held)
        self._exchange = self._chunks = self._body = None
        self._held = 0

    # what becomes of exchanges

    def _hand_over(self) -> None:
        for _ in range(AT_ONCE):
            if not self._whole or self._unread_since_s is not None:
                break
            exchange = self._whole.popleft()
            self._site.room.give(len(exchange.body))
            self._handle(exchange)
        self._go_on()
        self._pause()

    def _go_on(self) -> None:
        """Hand over what is left when others have been looked at."""
        if self._whole and self._unread_since_s is None:
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _handle(self, exchange: Exchange) -> None:
        try:
            self._site.handler(exchange)
        except Exception:
            log.exception(Event("handler_failed", method=exchange.method, path=exchange.path))
            if not exchange.answered:
                exchange.fail(500, "the server has a bug; its log says more")

    def _refuse_body(self) -> None:
        self._refuse(413, f"the request's body is larger than {self._site.most_body_bytes} bytes")

    def _refuse(self, status: int, message: str, headers: str = "") -> None:
        if self._refused:
            return
        self._refused = True
        self._forget_body()
        self._partial.clear()
        exchange = Exchange(self)
        self._pipeline.append(exchange)
        exchange.fail(status, message, headers)

    def flush(self) -> None:
        """Write the answers that nothing stands before."""
        pipeline = self._pipeline
        if not pipeline or (answer := pipeline[0].answer) is None:
            return
        closes = pipeline.popleft().closes
        while pipeline and not closes and (more := pipeline[0].answer) is not None:
            closes = pipeline.popleft().closes
            answer += more
        if self._transport is None:
            return
        self._transport.write(answer)
        if closes:
            self._close()
            return
        if not pipeline:
            self._rest()
        if self._paused:
            self._pause()

    def _rest(self) -> None:
        """No answer is owed: from now on the client is idle, until it has sent the head of a request."""
        self.idle_since_s = self._site.now_s
        if self._exchange is None:
            self._site.idle[self] = None

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
        if pause == self._paused or self._transport is None:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            arriving = bool(self._partial) or self._exchange is not None
            self._incomplete_since_s = time.monotonic() if arriving else None
            self._transport.resume_reading()

    def close_when_idle(self) -> None:
        """Close now if no answer is owed; else the last answer closes."""
        self._site.idle.pop(self, None)
        if not self._pipeline and self._transport is not None:
            self._transport.close()

    def close_when_slow(self, since_s: float) -> None:
        """Close if a request has been incomplete, or answers have been unread, since this time."""
        if self._unread_since_s is not None and self._unread_since_s < since_s and self._transport is not None:
            self._transport.abort()
        elif self._incomplete_since_s is not None and self._incomplete_since_s < since_s and not self._paused:
            self._refuse(408, f"the request did not arrive within {PATIENCE_S:g} s")
