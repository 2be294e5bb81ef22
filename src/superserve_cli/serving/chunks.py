"""A body that comes in chunks (RFC 9112, section 7.1)."""

import re
from typing import Final

from superserve_cli.serving.heads import NotHttp

MOST_LINE_BYTES: Final = 4096
MOST_TRAILERS: Final = 100
SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")


class TooLong(Exception):
    """The body is longer than it may be."""


class Chunks:
    """Joins the chunks of one body of at most `most` bytes; extensions and trailers are read over."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._line = b""
        self._left = self._trailers = 0
        self._after_data = self._after_last = False
        self.body = bytearray()
        self.whole = False

    def feed(self, data: bytes) -> int:
        """Read on; how many bytes of the data belong to the body. Raises NotHttp, and TooLong as soon as a chunk says so."""
        at = 0
        while at < len(data) and not self.whole:
            if self._left:
                piece = data[at : at + self._left]
                self.body += piece
                self._left -= len(piece)
                at += len(piece)
            else:
                at = self._read_line(data, at)
        return at

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end + 1
        self._line += data[at:stop]
        if len(self._line) > MOST_LINE_BYTES:
            raise NotHttp("a line between its chunks is too long")
        if end >= 0:
            line, self._line = self._line, b""
            if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                raise NotHttp("a line between its chunks does not end as it must")
            self._take_line(line[:-2])
        return stop

    def _take_line(self, line: bytes) -> None:
        if self._after_data:
            if line:
                raise NotHttp("a chunk is longer than it says")
            self._after_data = False
        elif self._after_last:
            self.whole = not line
            self._trailers += 1
            if self._trailers > MOST_TRAILERS or (line and not TRAILER.fullmatch(line)):
                raise NotHttp("what follows its last chunk is too much, or no header")
        else:
            self._begin_chunk(line.partition(b";")[0].rstrip(b" \t"))

    def _begin_chunk(self, size: bytes) -> None:
        if not SIZE.fullmatch(size):
            raise NotHttp("the size of a chunk is no number")
        self._left = int(size, 16)
        if len(self.body) + self._left > self._most:
            raise TooLong
        self._after_data, self._after_last = self._left > 0, self._left == 0
