"""The HTTP/2 codec without a socket; `test_rpc` has it talk to a real server."""

import struct
from collections.abc import Sequence

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.load.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2,
    frame,
    text,
)
from superserve_cli.serving.load.place import parse
from superserve_cli.serving.load.wire import Answered, Buffer, Nonsense

MESSAGE = b"hello"
OK = text(":status", "200") + text("content-type", "application/grpc")


def codec() -> Http2:
    return Http2(parse("grpc://h:1"), "/s/M", {"authorization": "Bearer k"})


def frames(parts: Sequence[Buffer]) -> list[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) of each."""
    raw, found = b"".join(parts), []
    while raw:
        length = int.from_bytes(raw[:3], "big")
        found.append((raw[3], raw[4], int.from_bytes(raw[5:9], "big"), raw[9 : 9 + length]))
        raw = raw[9 + length :]
    return found


def answer(stream: int, message: bytes = MESSAGE, status: str = "0") -> bytes:
    body = struct.pack(">BI", 0, len(message)) + message
    return (
        frame(HEADERS, END_HEADERS, stream, OK)
        + frame(DATA, 0, stream, body)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, text("grpc-status", status) + text("grpc-message", "too%20late"))
    )


def fed(to: Http2, data: bytes) -> Answered | None:
    return to.feed(memoryview(data))


def test_a_call_is_a_stream_of_its_own_and_the_next_one_another() -> None:
    wire = codec()
    for stream in (1, 3, 5):
        (_, flags, asked, _), (kind, ends, data, payload) = frames(wire.ask([b"abc", b"def"]))
        assert (flags, asked, kind, ends, data, payload) == (END_HEADERS, stream, DATA, END_STREAM, stream, b"abcdef")
        assert fed(wire, answer(stream)) == Answered(200, MESSAGE, None, True)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=80))
def test_an_answer_may_come_in_any_pieces(sizes: list[int]) -> None:
    wire = codec()
    wire.ask([b"abc"])
    raw, seen = answer(1), []
    for size in [*sizes, 1000]:
        seen.append(fed(wire, raw[:size])) if raw else None
        raw = raw[size:]
    assert [one for one in seen if one] == [Answered(200, MESSAGE, None, True)]


@pytest.mark.parametrize(
    ("code", "status"), [("4", 504), ("14", 503), ("8", 503), ("3", 400), ("16", 401), ("12", 501), ("13", 500), ("99", 500)]
)
def test_codes_have_the_statuses_of_http(code: str, status: int) -> None:
    wire = codec()
    wire.ask([b"abc"])
    said = fed(wire, answer(1, status=code))
    assert said is not None
    assert said.status == status
    if code == "4":
        assert said.body == b"DEADLINE_EXCEEDED: too late"


def test_an_answer_without_a_body_is_one_too() -> None:
    wire = codec()
    wire.ask([b"abc"])
    said = fed(wire, frame(HEADERS, END_HEADERS | END_STREAM, 1, OK + text("grpc-status", "5")))
    assert said == Answered(404, b"NOT_FOUND: ", None, True)


def test_what_is_compressed_or_more_than_one_message_is_a_failure() -> None:
    for body in (b"\1\0\0\0\1x", b"\0\0\0\0\1xx", b""):
        wire = codec()
        wire.ask([b"abc"])
        end = frame(HEADERS, END_HEADERS | END_STREAM, 1, text("grpc-status", "0"))
        said = fed(wire, frame(HEADERS, END_HEADERS, 1, OK) + frame(DATA, 0, 1, body) + end)
        assert said is not None
        assert said.status == 500


@given(length=st.integers(1, 300_000), most=st.integers(16_384, 40_000), window=st.integers(1, 200_000), step=st.integers(500, 60_000))
def test_no_more_is_sent_than_the_server_lets_us_and_in_the_end_all(length: int, most: int, window: int, step: int) -> None:
    wire, sent, leave = codec(), b"", {0: 65_535, 1: window}
    fed(wire, frame(SETTINGS, 0, 0, struct.pack(">HIHI", 4, window, 5, most)))
    assert frames(wire.take_control()) == [(SETTINGS, 1, 0, b"")]
    request = bytes(i % 251 for i in range(length))
    out = frames(wire.ask([request[:3], memoryview(request)[3:]]))[1:]
    while True:
        sent += b"".join(payload for _, _, _, payload in out)
        assert all(len(payload) <= most for _, _, _, payload in out)
        assert len(sent) <= min(leave.values())
        if len(sent) == length:
            break
        assert not any(flags for _, flags, _, _ in out)
        for stream, more in ((0, 65_536), (1, step)):
            leave[stream] += more
            fed(wire, frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more)))
        out = frames(wire.take_control())
    assert sent == request
    assert out[-1][1] == END_STREAM


def test_a_ping_is_answered_and_headers_are_wanted_without_a_table() -> None:
    wire = codec()
    (_, *_, settings), (kind, _, _, _) = frames(wire.greeting()[1:])
    assert (settings[:6], kind) == (struct.pack(">HI", 1, 0), WINDOW_UPDATE)
    fed(wire, frame(PING, 0, 0, b"12345678"))
    assert frames(wire.take_control()) == [(PING, 1, 0, b"12345678")]


def test_a_server_that_goes_away_lets_the_request_end_that_it_has_taken() -> None:
    wire = codec()
    wire.ask([b"abc"])
    fed(wire, frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0)))
    assert fed(wire, answer(1)) == Answered(200, MESSAGE, None, False)
    other = codec()
    other.ask([b"abc"])
    with pytest.raises(Nonsense, match="goes away"):
        fed(other, frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
    with pytest.raises(Nonsense, match="goes away"):
        fed(codec(), frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))


@pytest.mark.parametrize(("code", "status"), [(7, 503), (8, 500)])
def test_a_stream_that_is_reset_is_an_answer_without_one(code: int, status: int) -> None:
    wire = codec()
    wire.ask([b"abc"])
    said = fed(wire, frame(RST_STREAM, 0, 1, struct.pack(">I", code)))
    assert said is not None
    assert said.status == status


def test_equal_header_blocks_are_decoded_once_unless_a_table_is_kept() -> None:
    wire = codec()
    remembered = b"\x40\x0bgrpc-status\x010"  # a literal that does enter the table, although we asked for none
    for stream in (1, 3):
        wire.ask([b"abc"])
        fed(wire, frame(HEADERS, END_HEADERS, stream, OK) + frame(DATA, 0, stream, b"\0\0\0\0\0"))
        said = fed(wire, frame(HEADERS, END_HEADERS | END_STREAM, stream, remembered if stream == 1 else b"\xbe"))
        assert said == Answered(200, b"", None, True)


@given(garbage=st.binary(max_size=60))
def test_any_bytes_are_frames_or_nonsense(garbage: bytes) -> None:
    wire = codec()
    wire.ask([b"abc"])
    try:
        fed(wire, garbage)
    except Nonsense:
        return


@given(length=st.integers(0, 400))
def test_headers_of_any_length_can_be_read(length: int) -> None:
    assert [(str(name), str(value)) for name, value in Decoder().decode(text("x", "v" * length))] == [("x", "v" * length)]
