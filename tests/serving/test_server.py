"""A whole server with a real process behind it, which sleeps instead of inferring."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np

from superserve_cli import policies, profiles
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.serving.protocol import InferRequest, Tensor, write_request
from superserve_cli.serving.server import Server, run
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.workers.messages import Order


def settings(folder: Path) -> Settings:
    path = folder / "profile.csv"
    path.write_text("subnet,batch_size,latency_ms,accuracy\nsmall,1,1,0.8\nsmall,2,1,0.8\n")
    order = Order("superserve_cli.serving.workers.sleep:make", {"profile": str(path), "shape": [3]})
    policy = policies.named("slackfit")
    return Settings([order], profiles.load(str(path)), policy, "shed", 10**9, port=0, record=True, longest_drain_s=0.1)


def test_a_second_signal_ends_at_once_even_those_whose_worker_hangs(tmp_path: Path) -> None:
    async def talk() -> bytes:
        opened = asyncio.Event()
        servers: list[Server] = []

        def serves(server: Server) -> None:
            servers.append(server)
            opened.set()

        running = asyncio.create_task(run(replace(settings(tmp_path), longest_drain_s=600), serves))
        await asyncio.wait_for(opened.wait(), 60)
        (server,) = servers
        os.kill(server.pids[0], signal.SIGSTOP)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(message() * 5)
        while server.pending < 5:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        answers = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        await asyncio.wait_for(running, 60)
        return answers

    assert asyncio.run(talk()).count(b"HTTP/1.1 503 ") == 5


def message() -> bytes:
    body, length = write_request(InferRequest((Tensor("input", "FP32", np.zeros((1, 3), np.float32)),)))
    head = f"POST /v2/models/sleeper/infer HTTP/1.1\r\nInference-Header-Content-Length: {length}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_server_that_stops_tells_even_those_whose_worker_hangs(tmp_path: Path) -> None:
    async def talk() -> tuple[bytes, list[str]]:
        server = Server(settings(tmp_path))
        try:
            await server.listen()
            await asyncio.wait_for(server.start(), 60)
            (pid,) = server.pids
            os.kill(pid, signal.SIGSTOP)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            writer.write(message() * 5)
            await asyncio.sleep(0.1)
            await server.drain()
            answers = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            outcomes = server.outcomes()
            assert outcomes is not None
            return answers, [STATUSES[status] for status in outcomes.status]
        finally:
            server.stop()

    answers, statuses = asyncio.run(talk())
    assert answers.count(b"HTTP/1.1 503 ") == 5
    assert statuses == ["failed"] * 5
