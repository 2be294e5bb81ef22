"""HTTP/2 as a gRPC client needs it: one unary call at a time on a connection, as cheap as HTTP/1.1.

The server is asked for header blocks that refer to no earlier ones (a table of size 0, RFC 7541, 4.2), so that equal blocks mean
equal headers, and each is decoded once.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from hpack import Decoder
from hpack.exceptions import HPACKError

from superserve_cli.serving.load.place import Place
from superserve_cli.serving.load.wire import OK, Answered, Buffer, Nonsense

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 4, 5
FRAME: Final = 9
FIRST_WINDOW: Final = 65_535
FULL_WINDOW: Final = 2**31 - 1
REFILL: Final = 2**30
LAST_STREAM: Final = 2**31 - 3
PREFIX: Final = 5
MEMORY: Final = 1000
"""How many header blocks are remembered."""

REFUSED_STREAM: Final = 7
CODES: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED"),
    *("RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE"),
    *("DATA_LOSS", "UNAUTHENTICATED"),
)
STATUSES: Final = (OK, 500, 500, 400, 504, 404, 409, 403, 503, 400, 500, 400, 501, 500, 503, 500, 401)
"""What each code is in HTTP; a full queue is RESOURCE_EXHAUSTED here and 503 there."""


class Http2:
    """One connection to one method. A request is gRPC's length prefix and message, in as many parts as you like."""

    def __init__(self, place: Place, path: str, headers: Mapping[str, str]) -> None:
        self.control: list[Buffer] = []
        self._block = _block(place, path, headers)
        self._decoder = Decoder()
        self._known: dict[bytes, dict[str, str]] = {}
        self._stream = -1
        self._busy = False
        self._again = True
        self._buffer = b""
        self._first_window = FIRST_WINDOW
        self._most = 16_384
        self._window = FIRST_WINDOW
        self._stream_window = 0
        self._received = 0
        self._held: list[memoryview] = []
        self._fragment = b""
        self._ends = False
        self._said: dict[str, str] = {}
        self._body: list[bytes] = []

    def greeting(self) -> Sequence[Buffer]:
        """The preface, our settings, and leave to send as much as there is."""
        settings = struct.pack(">HIHIHI", HEADER_TABLE_SIZE, 0, ENABLE_PUSH, 0, INITIAL_WINDOW_SIZE, FULL_WINDOW)
        leave = struct.pack(">I", FULL_WINDOW - FIRST_WINDOW)
        return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(SETTINGS, 0, 0, settings), frame(WINDOW_UPDATE, 0, 0, leave))

    def ask(self, parts: Sequence[Buffer]) -> Sequence[Buffer]:
        """A new stream, with as much of the request as the server lets us send."""
        self._stream += 2
        self._busy = True
        self._again = self._again and self._stream < LAST_STREAM
        self._stream_window = self._first_window
        self._said, self._body, self._held = {}, [], []
        head = frame(HEADERS, END_HEADERS, self._stream, self._block)
        length = sum(map(len, parts))
        if length <= self._most and length <= self._window and length <= self._stream_window:
            self._window -= length
            self._stream_window -= length
            return (head + frame_head(length, DATA, END_STREAM, self._stream), *parts)
        self._held = [memoryview(part) for part in parts if part]
        return (head, *self._released())

    def take_control(self) -> list[Buffer]:
        """Acknowledgements, and what the server has let through since."""
        control, self.control = self.control, []
        return control

    def feed(self, data: memoryview) -> Answered | None:
        """Bytes arrived; raises Nonsense."""
        buffer = self._buffer + data if self._buffer else bytes(data)
        at, end, answer = 0, len(buffer), None
        while at + FRAME <= end:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if at + FRAME + length > end:
                break
            kind, flags, stream = buffer[at + 3], buffer[at + 4], int.from_bytes(buffer[at + 5 : at + 9], "big") & FULL_WINDOW
            if self._frame(kind, flags, stream, buffer[at + FRAME : at + FRAME + length]):
                answer = self._whole()
            at += FRAME + length
        self._buffer = buffer[at:]
        return answer

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        """One frame arrived; whether the answer is whole."""
        if kind == HEADERS:
            self._ends = bool(flags & END_STREAM)
            self._fragment = _unpadded(payload, flags)[5 if flags & PRIORITY else 0 :]
            return self._headers(flags, stream)
        if kind == CONTINUATION:
            self._fragment += payload
            return self._headers(flags, stream)
        if kind == DATA:
            return self._data(flags, stream, payload)
        if kind == RST_STREAM:
            return self._reset(stream, payload)
        self._rule(kind, flags, stream, payload)
        return False

    def _rule(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame that is about the connection rather than about an answer."""
        if kind == SETTINGS and not flags & ACK:
            self._settle(payload)
            self.control.append(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.control.append(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self._go_away(payload)
        elif kind == WINDOW_UPDATE and len(payload) == 4:
            self._widen(stream, int.from_bytes(payload, "big") & FULL_WINDOW)
        self.control.extend(self._released())

    def _settle(self, payload: bytes) -> None:
        if len(payload) % 6:
            raise Nonsense("HTTP/2 settings of a broken length")
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._first_window
                self._first_window = value
            elif name == MAX_FRAME_SIZE:
                self._most = value

    def _widen(self, stream: int, by: int) -> None:
        if stream == 0:
            self._window += by
        elif stream == self._stream:
            self._stream_window += by

    def _go_away(self, payload: bytes) -> None:
        self._again = False
        if not self._busy or int.from_bytes(payload[:4], "big") & FULL_WINDOW < self._stream:
            raise Nonsense("the target goes away")

    def _released(self) -> list[Buffer]:
        """The frames of what is held that may go out now."""
        out: list[Buffer] = []
        while self._held:
            room = min(self._most, self._window, self._stream_window)
            if room <= 0:
                break
            piece = self._held[0][:room]
            self._held[0] = self._held[0][len(piece) :]
            if not self._held[0]:
                self._held.pop(0)
            self._window -= len(piece)
            self._stream_window -= len(piece)
            out += (frame_head(len(piece), DATA, 0 if self._held else END_STREAM, self._stream), piece)
        return out

    def _data(self, flags: int, stream: int, payload: bytes) -> bool:
        self._received += len(payload)
        if self._received > REFILL:
            self.control.append(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received)))
            self._received = 0
        if stream != self._stream:
            return False
        self._body.append(_unpadded(payload, flags))
        return bool(flags & END_STREAM)

    def _headers(self, flags: int, stream: int) -> bool:
        if not flags & END_HEADERS:
            return False
        block, self._fragment = self._fragment, b""
        said = self._known.get(block)
        if said is None:
            said = self._decoded(block)
        if stream != self._stream:
            return False
        self._said.update(said)
        return self._ends

    def _decoded(self, block: bytes) -> dict[str, str]:
        try:
            said = {str(name): str(value) for name, value in self._decoder.decode(block)}
        except (HPACKError, UnicodeDecodeError) as error:
            raise Nonsense(f"not HTTP/2 headers: {error}") from None
        if len(self._decoder.header_table.dynamic_entries) == 0:  # else the same bytes may mean something else the next time
            self._known = self._known if len(self._known) < MEMORY else {}
            self._known[block] = said
        return said

    def _reset(self, stream: int, payload: bytes) -> bool:
        """The server ended a stream: that of an answer that is on its way, or one whose answer had come before its request was whole."""
        if stream != self._stream or self._said.get("grpc-status") is not None:
            return False
        refused = int.from_bytes(payload, "big") == REFUSED_STREAM
        self._said |= {"grpc-status": "14" if refused else "13", "grpc-message": "the target reset the stream"}
        return True

    def _whole(self) -> Answered:
        again, self._again = self._again and not self._held, self._again and not self._held
        self._held, self._busy = [], False
        http, code = self._said.get(":status", "200"), self._said.get("grpc-status", "")
        if not code.isdigit() or int(code) >= len(CODES):
            return Answered(
                int(http) if http.isdigit() and http != "200" else 500, f"status {http} without a gRPC status".encode(), None, again
            )
        body = b"".join(self._body)
        if code == "0":
            return Answered(OK, body[PREFIX:], None, again) if _one_message(body) else _broken(again)
        message = f"{CODES[int(code)]}: {unquote(self._said.get('grpc-message', ''))}"
        return Answered(STATUSES[int(code)], message.encode(), None, again)


def _one_message(body: bytes) -> bool:
    """Whether this is one message, uncompressed."""
    return len(body) >= PREFIX and body[0] == 0 and int.from_bytes(body[1:PREFIX], "big") == len(body) - PREFIX


def _broken(again: bool) -> Answered:
    return Answered(500, b"not one uncompressed gRPC message", None, again)


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Nonsense("HTTP/2 padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a payload."""
    return struct.pack(">IBI", length << 8 | kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A whole frame."""
    return frame_head(len(payload), kind, flags, stream) + payload


def _block(place: Place, path: str, headers: Mapping[str, str]) -> bytes:
    """The head of every request as literals that no table keeps (RFC 7541, 6.2.2)."""
    every = {
        ":method": "POST",
        ":scheme": "https" if place.tls else "http",
        ":path": path,
        ":authority": place.authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "superserve",
        **headers,
    }
    return b"".join(text(name, value) for name, value in every.items())


def text(name: str, value: str) -> bytes:
    """A header as HPACK has it when no table keeps it (6.2.2)."""
    return b"\0" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    """A string of HPACK (5.2), not Huffman-coded."""
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    length, rest = bytearray([127]), len(raw) - 127
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    return bytes(length) + bytes([rest]) + raw
