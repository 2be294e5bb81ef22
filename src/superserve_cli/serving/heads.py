"""The head of an HTTP/1.1 request, from its first line to the empty one, in the hands of httptools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httptools

MOST_REMEMBERED: Final = 1024
MOST_REMEMBERED_BYTES: Final = 2048
CHUNKED: Final = -1


class NotHttp(Exception):
    """These bytes are no request of HTTP/1.1."""


@dataclass(slots=True)
class Head:
    """What a head says; names of headers are in lower case, the query of the target is left out. `length` is the body's, or CHUNKED.

    `meaning` is for whoever handles the request to keep what it made of the head: the same one comes again and again.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    length: int
    closes: bool
    expects_continue: bool
    meaning: Any = None


class HeadReader:
    """Reads one head, however it is cut, and knows as soon as it cannot become one."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._whole = self._closes = False

    def feed(self, data: bytes) -> None:
        """Read on, to the end of the head at most; raises NotHttp."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # a wish to speak another protocol (clients in Java and curl offer h2c beside a body) is answered in this one
        except httptools.HttpParserError as error:
            raise NotHttp(str(error)) from None

    def head(self) -> Head:
        """What has been read, which must be whole; raises NotHttp."""
        headers = self._headers
        encoding = headers.get(b"transfer-encoding")
        if not self._whole or (encoding is not None and not encoding.lower().endswith(b"chunked")):
            raise NotHttp("its head makes no sense")
        return Head(
            method=self._parser.get_method().decode(),
            path=self._url.decode("latin-1").partition("?")[0],
            headers=headers,
            length=int(headers.get(b"content-length", b"0")) if encoding is None else CHUNKED,
            closes=self._closes,
            expects_continue=headers.get(b"expect", b"").lower() == b"100-continue",
        )

    # what the parser calls

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._whole = True
        self._closes = not self._parser.should_keep_alive() or self._parser.get_http_version() != "1.1"


class Heads:
    """Reads whole heads, and remembers them: a client says the same one again and again, and a parser calls back for every line.

    What a head says follows from its bytes alone, so remembering changes nothing.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, data: bytes) -> Head:
        """What a head with its empty line says; raises NotHttp."""
        if (known := self._known.get(data)) is not None:
            return known
        reader = HeadReader()
        reader.feed(data)
        head = reader.head()
        if len(data) <= MOST_REMEMBERED_BYTES:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[data] = head
        return head
