"""What no gRPC client would send: bytes on the connection itself."""

import asyncio
import logging
from contextlib import suppress

import grpc.aio
import pytest

from superserve_cli.serving.desk import Desk
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.rpc.messages import METHODS
from superserve_cli.serving.rpc.server import Rpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LIVE = METHODS["ServerLive"].path.encode()
HEADERS, SETTINGS = 1, 4
END_OF_BOTH = 5
POST_HTTP = b"\x83\x86"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header in HPACK, said in full."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(path: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A connection's bytes that call something, without a message."""
    said = [(b":path", path), (b":authority", b"x"), (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]
    head = POST_HTTP + b"".join(literal(name, value) for name, value in said)
    return PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_OF_BOTH, 1, head)


async def is_live(port: int) -> bool:
    """Whether a server answers, as soon as it does."""
    method = METHODS["ServerLive"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
        return bool((await ask(method.request(), wait_for_ready=True, timeout=20)).live)


async def say(port: int, said: bytes) -> None:
    """Send some bytes, and look for a while what comes of them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    with suppress(TimeoutError, ConnectionError):
        await asyncio.wait_for(reader.read(), 0.5)
    writer.close()


NO_PATH = call(b"/inference.GRPCInferenceService/Server\xa5Live")


@pytest.mark.parametrize(
    "said",
    [
        NO_PATH,
        call(LIVE, (b"x-note", b"caf\xe9")),
        call(LIVE, (b"x-n\xe9", b"1")),
        call(LIVE, (b"grpc-timeout", b"soon")),
    ],
    ids=["a path that is no text", "metadata that are no text", "a name that is no text", "a deadline that is none"],
)
def test_a_call_that_is_no_text_neither_ends_the_server_nor_fills_its_log(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        rpc = Rpc(Desk(Metrics()), most_connections=10, most_calls=10)
        port = await rpc.listen("127.0.0.1", 0)
        try:
            await say(port, said)
            for _ in range(3):  # it may go only now, with the first call that comes after
                assert await is_live(port)
        finally:
            await rpc.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert not [record for record in caplog.records if record.exc_info]
    assert sum("grpc_restart" in record.getMessage() for record in caplog.records) == len(caplog.records) <= 1


def test_a_stream_that_is_open_meanwhile_ends_and_does_not_keep_the_door_shut() -> None:
    async def run() -> None:
        rpc = Rpc(Desk(Metrics()), most_connections=10, most_calls=10)
        port = await rpc.listen("127.0.0.1", 0)
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stream = channel.stream_stream(METHODS["ModelStreamInfer"].path)(wait_for_ready=True)
                await stream.write(b"")
                assert await stream.read()
                await say(port, NO_PATH)
                with pytest.raises(grpc.aio.AioRpcError):
                    await asyncio.wait_for(stream.read(), 20)
            assert await is_live(port)
        finally:
            await rpc.stop()

    asyncio.run(run())
