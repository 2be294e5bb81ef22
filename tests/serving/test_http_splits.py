"""However bytes are cut into reads, they make the same exchanges; the limits hold to the byte."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.serving.chunks import Chunks, TooLong
from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.heads import NotHttp
from superserve_cli.serving.http import Connection
from superserve_cli.serving.site import RECEIVE_BYTES, Site
from tests.serving.test_http import receive

LIMIT = 3 * RECEIVE_BYTES


class Message(NamedTuple):
    """A request, and how it is sent."""

    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    chunks: tuple[int, ...]

    def encode(self) -> bytes:
        head = b"".join([b"POST %b HTTP/1.1\r\n" % self.path.encode(), *(b"%b: %b\r\n" % header for header in self.headers)])
        if not self.chunks:
            return head + b"Content-Length: %d\r\n\r\n" % len(self.body) + self.body
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(self.body, self.chunks)

    def said(self) -> tuple[str, dict[bytes, bytes], bytes]:
        return self.path, {name.lower(): value for name, value in self.headers}, self.body


def chunked(body: bytes, sizes: tuple[int, ...], extension: bytes = b";a=b", trailer: bytes = b"X-T: 1\r\n") -> bytes:
    pieces, at = [], 0
    for size in (*sizes, len(body)):
        piece, at = body[at : at + size], at + size
        if piece:
            pieces.append(b"%x%b\r\n%b\r\n" % (len(piece), extension if size % 2 else b"", piece))
    return b"".join(pieces) + b"0\r\n" + trailer + b"\r\n"


SIZES = st.one_of(st.integers(0, 40), st.integers(RECEIVE_BYTES - 200, RECEIVE_BYTES + 5), st.sampled_from([LIMIT - 1, LIMIT]))
BODIES = SIZES.map(lambda size: bytes(i * 7 % 251 for i in range(size)))
MESSAGES = st.builds(
    Message,
    st.sampled_from(["/a", "/b/c", "/" + "x" * 300]),
    st.lists(
        st.tuples(st.sampled_from([b"Host", b"X-Y"]), st.sampled_from([b"h", b"a b", b"z" * 500])), max_size=3, unique_by=lambda h: h[0]
    ).map(tuple),
    BODIES,
    st.lists(st.integers(1, 20_000), max_size=3).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=5), st.lists(st.integers(1, 2 * LIMIT), max_size=12), st.booleans())
def test_any_cut_gives_the_same_exchanges(wire: Callable[[], Any], messages: list[Message], cuts: list[int], ends: bool) -> None:
    sent = (b"\r\n" if ends else b"").join(message.encode() for message in messages)
    exchanges: list[Exchange] = []
    connection, its_wire = Connection(Site.of(exchanges.append, LIMIT)), wire()
    connection.connection_made(its_wire)
    bounds = sorted({0, len(sent), *(cut % len(sent) for cut in cuts)})
    for begin, end in pairwise(bounds):
        receive(connection, sent[begin:end])
    framing = (b"content-length", b"transfer-encoding")
    told = [(e.path, {k: v for k, v in e.headers.items() if k not in framing}, bytes(e.body)) for e in exchanges]
    assert told == [message.said() for message in messages]
    assert its_wire.sent == b""
    for number, exchange in reversed(list(enumerate(exchanges))):
        exchange.respond(200, b"<%d>" % number)
    places = [its_wire.sent.index(b"<%d>" % number) for number in range(len(messages))]
    assert places == sorted(places)


def test_each_byte_may_come_alone(wire: Callable[[], Any]) -> None:
    messages = [Message("/a", ((b"Host", b"h"),), b"hello", ()), Message("/b", (), b"hello again", (3, 4)), Message("/c", (), b"", ())]
    exchanges: list[Exchange] = []
    connection = Connection(Site.of(exchanges.append, LIMIT))
    connection.connection_made(wire())
    for byte in b"".join(message.encode() for message in messages):
        receive(connection, bytes([byte]))
    assert [(e.path, bytes(e.body)) for e in exchanges] == [(m.path, m.body) for m in messages]


@pytest.mark.parametrize("chunks", [(), (100,)])
@pytest.mark.parametrize("over", [0, 1])
def test_a_body_may_be_as_long_as_the_limit_and_not_a_byte_longer(wire: Callable[[], Any], chunks: tuple[int, ...], over: int) -> None:
    async def talk() -> tuple[list[int], bytes]:
        lengths: list[int] = []
        site, its_wire = Site.of(lambda exchange: lengths.append(len(exchange.body)), LIMIT), wire()
        connection = Connection(site)
        connection.connection_made(its_wire)
        receive(connection, Message("/", (), b"x" * (LIMIT + over), chunks).encode())
        assert site.room.held == 0
        return lengths, bytes(its_wire.sent[:13])

    assert asyncio.run(talk()) == (([], b"HTTP/1.1 413 ") if over else ([LIMIT], b""))


class Oracle:
    """What httptools makes of a body in chunks."""

    def __init__(self) -> None:
        self.body = b""
        self.whole = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = True


DAMAGES = st.sampled_from(b"\r\n0;aAxX -+_")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(1, 30), max_size=4).map(tuple), st.integers(0, 200), DAMAGES)
def test_chunks_that_are_damaged_are_refused_where_httptools_refuses_them(
    body: bytes, sizes: tuple[int, ...], place: int, byte: int
) -> None:
    sent = bytearray(chunked(body, sizes, extension=b"", trailer=b""))
    sent[place % len(sent)] = byte
    oracle = Oracle()
    parser = httptools.HttpRequestParser(oracle)
    parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    refused = False
    try:
        parser.feed_data(bytes(sent))
    except httptools.HttpParserError:
        refused = True
    chunks = Chunks(1000)
    try:
        chunks.feed(bytes(sent))
    except (NotHttp, TooLong):
        return  # we may be stricter, never laxer
    if chunks.whole:
        assert oracle.whole
        assert oracle.body == bytes(chunks.body)
    else:
        assert not oracle.whole or refused


@pytest.mark.parametrize(
    "bad",
    [
        b"g\r\n",
        b"0\r\n\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3 3\r\n",
        b"\r\n",
        b"1" * 5000,
        b"f" * 16 + b"\r\n",
        b"1_0\r\n",
        b"+3\r\n",
    ],
)
def test_chunks_that_make_no_sense_are_refused(bad: bytes) -> None:
    with pytest.raises((NotHttp, TooLong)):
        Chunks(10**6).feed(bad)


def test_trailers_without_end_are_refused() -> None:
    with pytest.raises(NotHttp, match="too much"):
        Chunks(10).feed(b"0\r\n" + b"X: y\r\n" * 1000)
