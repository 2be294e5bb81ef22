"""What a request over gRPC costs the router's process, and what of it is the library."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc.aio
import numpy as np

from superserve_cli.bench.figure import Figure
from superserve_cli.bench.serve import processes
from superserve_cli.core.nouns import Progress
from superserve_cli.errors import SuperserveError
from superserve_cli.serving.rpc.messages import METHODS, ModelInferRequest

SERVER: Final = Path(__file__).with_name("rpc_server.py")
ROUNDS: Final = 5
SECONDS: Final = 1.5
TOGETHER: Final = 32
SIZES: Final = {"12kb": 3 * 32 * 32, "150kb": 3 * 112 * 112}
"""Rows of FP32: an image of CIFAR, and one as large as 3 x 224 x 224 bytes."""
END_S: Final = 10.0
MICRO: Final = 1e6

Ask = Callable[[grpc.aio.Channel, bytes], Callable[[], Awaitable[object]]]


@dataclass(frozen=True)
class Running:
    """A server of its own process."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """The CPU time that it has used."""
        return processes.cpu_s(self.pid)


def rpc(progress: Progress) -> list[Figure]:
    """The router's CPU time per request when the model takes nothing: single calls and streams, beside a call that does nothing."""
    with _server(SIZES["12kb"]) as small, _server(SIZES["150kb"]) as large:
        arms: dict[str, tuple[str, Running, Ask, bytes]] = {
            "rpc_bare_us_12kb": ("12kb: a call that does nothing", small, _bare, _message("12kb")),
            "rpc_unary_us_12kb": ("... ModelInfer, router CPU per request", small, _unary, _message("12kb")),
            "rpc_stream_us_12kb": ("... ModelStreamInfer", small, _stream, _message("12kb")),
            "rpc_bare_us_150kb": ("150kb: a call that does nothing", large, _bare, _message("150kb")),
            "rpc_unary_us_150kb": ("... ModelInfer, router CPU per request", large, _unary, _message("150kb")),
            "rpc_stream_us_150kb": ("... ModelStreamInfer", large, _stream, _message("150kb")),
        }
        seen: dict[str, list[float]] = {key: [] for key in arms}
        # the arms take turns, so that the machine's drift hits all alike
        work = [(key, *arm) for _ in range(ROUNDS) for key, arm in arms.items()]
        for done, (key, _, server, ask, message) in enumerate(work):
            progress(done, len(work), key)
            seen[key].append(asyncio.run(_cpu_us(server, ask, message)))
        progress(len(work), len(work), "")
    return [Figure(key, what, median(seen[key]), "us") for key, (what, *_) in arms.items()]


async def _cpu_us(server: Running, ask: Ask, message: bytes, seconds: float = SECONDS) -> float:
    """CPU time per request, of some that are asked together, again and again."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        asks = [ask(channel, message) for _ in range(TOGETHER)]
        await asyncio.gather(*(again() for again in asks))
        before_s, until_s = server.cpu_s(), time.monotonic() + seconds
        answered = sum(await asyncio.gather(*(_again_and_again(again, until_s) for again in asks)))
        return (server.cpu_s() - before_s) / answered * MICRO


async def _again_and_again(ask: Callable[[], Awaitable[object]], until_s: float) -> int:
    answered = 0
    while time.monotonic() < until_s:
        await ask()
        answered += 1
    return answered


def _bare(channel: grpc.aio.Channel, message: bytes) -> Callable[[], Awaitable[object]]:
    call = channel.unary_unary("/bare.Bare/Ask")
    return lambda: _awaited(call(message))


def _unary(channel: grpc.aio.Channel, message: bytes) -> Callable[[], Awaitable[object]]:
    call = channel.unary_unary(METHODS["ModelInfer"].path)
    return lambda: _awaited(call(message))


async def _awaited(call: Any) -> object:
    return await call


def _stream(channel: grpc.aio.Channel, message: bytes) -> Callable[[], Awaitable[object]]:
    stream = channel.stream_stream(METHODS["ModelStreamInfer"].path, None, METHODS["ModelStreamInfer"].response.FromString)()

    async def ask() -> object:
        await stream.write(message)
        if error := (await stream.read()).error_message:
            raise SuperserveError(f"the server answered {error!r}")
        return None

    return ask


def _message(size: str) -> bytes:
    row = np.ones((1, SIZES[size]), np.float32)
    request = ModelInferRequest(model_name="noop", raw_input_contents=[row.tobytes()])
    request.inputs.add(name="input", datatype="FP32", shape=row.shape)
    message: bytes = request.SerializeToString()
    return message


@contextmanager
def _server(numbers: int) -> Iterator[Running]:
    """A server whose model answers at once; raises SuperserveError when it does not come up."""
    with subprocess.Popen([sys.executable, str(SERVER), str(numbers)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not (port := process.stdout.readline().strip()):
                raise SuperserveError("the server that was to be measured did not start", hint="its own output above says why")
            yield Running(process.pid, int(port))
        finally:
            process.terminate()
            process.wait(END_S)
