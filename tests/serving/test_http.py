import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.http import AT_ONCE, MOST_HEAD_BYTES, MOST_PIPELINED, Connection
from superserve_cli.serving.room import Room
from superserve_cli.serving.site import IDLE_S, LEAST_IDLE_S, PATIENCE_S, Site

LIMIT = 100


def receive(connection: Connection, data: bytes) -> None:
    """What an event loop does with bytes that have come."""
    while data:
        room = connection.get_buffer(-1)
        taken = min(len(room), len(data))
        room[:taken] = data[:taken]
        connection.buffer_updated(taken)
        data = data[taken:]


class Client:
    """A client of a site whose handler only collects exchanges."""

    def __init__(self, wire: Any, handler: Callable[[Exchange], None] | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self.site = Site.of(handler or self.exchanges.append, LIMIT)
        self.connection: Connection = Connection(self.site)
        self.wire = wire
        self.connection.connection_made(wire)

    def send(self, data: bytes) -> None:
        receive(self.connection, data)

    @property
    def sent(self) -> bytes:
        return bytes(self.wire.sent)


@pytest.fixture
def client(wire: Callable[[], Any]) -> Client:
    return Client(wire())


def test_a_request_comes_whole_however_it_is_cut(wire: Callable[[], Any]) -> None:
    message = b"POST /a%20b?q=1 HTTP/1.1\r\nHost: h\r\nX-Y: z\r\nContent-Length: 5\r\n\r\nhello"
    for cut in range(1, len(message)):
        client = Client(wire())
        client.send(message[:cut])
        client.send(message[cut:])
        (exchange,) = client.exchanges
        assert (exchange.method, exchange.path, exchange.body, exchange.headers[b"x-y"]) == ("POST", "/a%20b", b"hello", b"z")


def test_chunked_bodies_are_joined(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert client.exchanges[0].body == b"abcde"


def test_a_connection_may_be_used_for_ever(client: Client) -> None:
    for _ in range(MOST_HEAD_BYTES // 20):
        client.send(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)
    assert client.exchanges[-1].body == b"x" * 100
    assert client.sent == b""


def test_pipelined_requests_are_answered_in_their_order(client: Client) -> None:
    client.send(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n")
    first, second, third = client.exchanges
    second.respond(200, b"two")
    assert client.sent == b""
    first.respond(200, b"one")
    third.respond(200, b"three")
    assert client.sent.index(b"one") < client.sent.index(b"two") < client.sent.index(b"three")


def test_a_connection_is_kept_unless_the_client_wants_it_closed(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    client.exchanges[0].respond(200, b"")
    assert not client.wire.closed
    client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    client.exchanges[1].respond(200, b"")
    assert client.wire.closed
    assert client.sent.endswith(b"Connection: close\r\n\r\n")


def test_an_http_1_0_client_gets_its_answer_and_the_end(client: Client) -> None:
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    client.exchanges[0].respond(200, b"x")
    assert client.wire.closed


def test_who_expects_100_continue_is_told_to_go_on(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert client.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"ab")
    assert client.exchanges[0].body == b"ab"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"a" * 101, 413),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2 * MOST_HEAD_BYTES, 431),
        (b"this is not http\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_too_large_or_no_http_is_refused_once_and_the_connection_closed(
    wire: Callable[[], Any], message: bytes, status: int
) -> None:
    async def talk() -> Client:
        client = Client(wire())
        for at in range(0, len(message), 50_000):
            client.send(message[at : at + 50_000])
        client.send(b"more of it")
        return client

    client = asyncio.run(talk())
    head, _, body = client.sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in head
    assert "error" in json.loads(body)
    assert client.exchanges == []


def test_a_client_that_hangs_up_is_told_to_its_unanswered_exchanges_once(client: Client) -> None:
    gone: list[int] = []
    client.send(b"GET / HTTP/1.1\r\n\r\n" * 3)
    for i, exchange in enumerate(client.exchanges):
        exchange.on_gone = lambda i=i: gone.append(i)
    client.exchanges[1].respond(200, b"")
    client.connection.connection_lost(None)
    assert gone == [0, 2]
    client.site.drain()
    client.exchanges[0].respond(200, b"late")
    assert client.sent == b""


def test_a_bug_in_the_handler_is_a_500_and_the_next_request_is_served(wire: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    def handler(exchange: Exchange) -> None:
        if exchange.path == "/bug":
            raise RuntimeError("a bug")
        exchange.respond(200, b"fine")

    client = Client(wire(), handler)
    client.send(b"GET /bug HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert client.sent.startswith(b"HTTP/1.1 500 ")
    assert client.sent.endswith(b"fine")
    assert "a bug" in caplog.text


def test_an_answer_to_head_has_a_length_and_no_body(client: Client) -> None:
    client.send(b"HEAD / HTTP/1.1\r\n\r\n")
    client.exchanges[0].respond(200, b"12345")
    assert b"Content-Length: 5\r\n" in client.sent
    assert client.sent.endswith(b"\r\n\r\n")


def test_a_client_that_asks_without_end_is_not_read_until_answers_are_sent(client: Client) -> None:
    for _ in range(MOST_PIPELINED // AT_ONCE):
        client.send(b"GET / HTTP/1.1\r\n\r\n" * AT_ONCE)
    assert not client.wire.reading
    for exchange in client.exchanges:
        exchange.respond(200, b"")
    assert client.wire.reading


def test_a_burst_is_handed_over_a_little_at_a_time_so_that_others_are_served_too(wire: Callable[[], Any]) -> None:
    async def talk() -> tuple[int, bool, int]:
        client = Client(wire())
        client.send(b"GET / HTTP/1.1\r\n\r\n" * 2 * AT_ONCE)
        at_once, reading = len(client.exchanges), client.wire.reading
        await asyncio.sleep(0)
        assert client.wire.reading
        return at_once, reading, len(client.exchanges)

    assert asyncio.run(talk()) == (AT_ONCE, False, 2 * AT_ONCE)


def test_a_client_that_does_not_read_is_not_served_until_it_does(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    client.connection.pause_writing()
    client.exchanges[0].respond(200, b"one")
    assert not client.wire.reading
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert len(client.exchanges) == 1
    client.connection.resume_writing()
    assert len(client.exchanges) == 2
    assert client.wire.reading


def let_go_of_slow(client: Client, after_s: float) -> None:
    client.site.let_go_of_slow(time.monotonic() + after_s)


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\nX: y", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"])
def test_a_request_that_does_not_become_whole_in_time_is_refused(wire: Callable[[], Any], part: bytes) -> None:
    async def talk() -> bytes:
        client = Client(wire())
        client.send(part)
        let_go_of_slow(client, PATIENCE_S / 2)
        assert client.sent == b""
        let_go_of_slow(client, PATIENCE_S + 1)
        return client.sent

    assert asyncio.run(talk()).startswith(b"HTTP/1.1 408 ")


def test_who_waits_for_an_answer_is_neither_slow_nor_idle(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    let_go_of_slow(client, 10 * IDLE_S)
    assert client.sent == b""
    assert not client.wire.closed


def test_a_client_that_asks_nothing_for_too_long_is_let_go(client: Client) -> None:
    let_go_of_slow(client, IDLE_S / 2)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    client.exchanges[0].respond(200, b"")
    let_go_of_slow(client, IDLE_S * 1.4)
    assert not client.wire.closed
    let_go_of_slow(client, IDLE_S * 1.6)
    assert client.wire.closed


def test_a_client_that_never_reads_its_answers_is_let_go(client: Client) -> None:
    client.connection.pause_writing()
    let_go_of_slow(client, PATIENCE_S / 2)
    assert not client.wire.closed
    let_go_of_slow(client, PATIENCE_S + 1)
    assert client.wire.closed


def test_more_clients_than_there_is_room_for_are_told_so(wire: Callable[[], Any]) -> None:
    async def talk() -> bytes:
        site, wires = Site.of(lambda exchange: exchange.respond(200, b""), LIMIT, most_connections=1), [wire(), wire(), wire()]
        first, second, third = [Connection(site) for _ in wires]
        first.connection_made(wires[0])
        second.connection_made(wires[1])
        first.connection_lost(None)
        third.connection_made(wires[2])
        assert wires[0].sent == wires[2].sent == b""
        return bytes(wires[1].sent)

    assert asyncio.run(talk()).startswith(b"HTTP/1.1 503 ")


def test_a_new_client_takes_the_place_of_the_one_that_has_been_idle_for_longest(wire: Callable[[], Any]) -> None:
    exchanges: list[Exchange] = []
    site, wires = Site.of(exchanges.append, LIMIT, most_connections=3), [wire() for _ in range(4)]
    busy, first, second, new = [Connection(site) for _ in wires]
    for connection, its_wire in zip((busy, first, second), wires, strict=False):
        connection.connection_made(its_wire)
    receive(busy, b"GET / HTTP/1.1\r\n\r\n")
    receive(first, b"GET / HTTP/1.1\r\n\r\n")
    exchanges[1].respond(200, b"")
    site.let_go_of_slow(time.monotonic() + LEAST_IDLE_S)
    new.connection_made(wires[3])
    assert [w.closed for w in wires] == [False, False, True, False]
    assert wires[3].sent == b""


def test_bodies_that_are_still_arriving_take_no_more_memory_than_there_may_be(wire: Callable[[], Any]) -> None:
    async def talk() -> None:
        room, wires = Room(most=250_000), [wire() for _ in range(4)]
        site = Site.of(lambda exchange: None, 100_000, room=room)
        clients = [Connection(site) for _ in wires]
        for client, its_wire in zip(clients, wires, strict=True):
            client.connection_made(its_wire)
            receive(client, b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nabc")
        assert room.held == 200_000
        assert [bytes(w.sent[:13]) for w in wires] == [b"", b"", b"HTTP/1.1 503 ", b"HTTP/1.1 503 "]
        assert b"Retry-After: 1\r\n" in wires[2].sent
        clients[0].connection_lost(ConnectionResetError())
        assert room.held == 100_000
        receive(clients[1], b"x" * 99_997)
        assert room.held == 0

    asyncio.run(talk())


def test_a_draining_site_closes_idle_connections_now_and_the_others_with_their_last_answer(wire: Callable[[], Any], client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\n\r\n" * 2)
    idle, idle_wire = Connection(client.site), wire()
    idle.connection_made(idle_wire)
    client.site.drain()
    assert idle_wire.closed
    client.exchanges[0].respond(200, b"")
    assert not client.wire.closed
    client.exchanges[1].respond(200, b"")
    assert client.wire.closed


OFFER = b"POST /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize("pieces", [[OFFER + b"hello" + OFFER + b"world"], [OFFER, b"hello", OFFER[:20], OFFER[20:] + b"wor", b"ld"]])
def test_a_wish_to_speak_another_protocol_is_answered_in_this_one(client: Client, pieces: list[bytes]) -> None:
    for piece in pieces:
        client.send(piece)
    assert [(exchange.path, exchange.body) for exchange in client.exchanges] == [("/a", b"hello"), ("/a", b"world")]
    for exchange in client.exchanges:
        exchange.respond(200, b"still 1.1")
    assert client.sent.count(b"HTTP/1.1 200 OK") == 2
    assert not client.wire.closed


@pytest.mark.parametrize("ask", [OFFER.replace(b": 5", b": 101"), b"CONNECT a:1 HTTP/1.1\r\nContent-Length: 101\r\n\r\n"])
def test_a_wish_for_another_protocol_that_must_be_refused_ends_the_connection(wire: Callable[[], Any], ask: bytes) -> None:
    async def talk() -> bytes:
        client = Client(wire(), lambda exchange: exchange.fail(404, "no"))
        client.send(ask + b"more")
        client.send(b"and more")
        return client.sent

    sent = asyncio.run(talk())
    assert sent.count(b"HTTP/1.1 4") == 1
    assert b"Connection: close" in sent
