"""What goes wrong with real processes: killed, stopped, poisoned, mad; and a router that is killed itself."""

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from superserve_cli import policies, profiles, supernet
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.serving.model import Hello, Model
from superserve_cli.serving.protocol import InferRequest, Tensor, write_request
from superserve_cli.serving.server import Server
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.workers import process, ring
from superserve_cli.serving.workers.launch import launch
from superserve_cli.serving.workers.messages import READY, Order, Plan, decode_hello
from superserve_cli.serving.workers.process import ProcessWorker
from superserve_cli.serving.workers.torch_worker import TorchWorker
from superserve_cli.serving.workers.turns import JOB
from tests.serving.nets import SOME_IMAGES, images
from tests.serving.test_processes import PLAN, PLAN_NS, ROWS, News, pid_of, serving, with_worker

POISON = np.full((1, 3), 13, np.float32)


@pytest.fixture(autouse=True)
def workers_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the misfits."""
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))


def sleepers(folder: Path, latency_ms: float = 1, workers: int = 1, port: int = 0) -> Settings:
    path = folder / "profile.csv"
    path.write_text(f"subnet,batch_size,latency_ms,accuracy\nsmall,1,{latency_ms},0.8\nsmall,2,{latency_ms},0.8\n")
    order = Order("superserve_cli.serving.workers.sleep:make", {"profile": str(path), "shape": [3]})
    policy = policies.named("slackfit")
    return Settings([order] * workers, profiles.load(str(path)), policy, "shed", 20 * 10**9, port=port, record=True, longest_drain_s=5)


def question(value: float = 1) -> bytes:
    body, length = write_request(InferRequest((Tensor("input", "FP32", np.full((1, 3), value, np.float32)),)))
    head = f"POST /v2/models/sleeper/infer HTTP/1.1\r\nInference-Header-Content-Length: {length}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for somebody to ask how it ended does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def memories(router: int) -> list[str]:
    """Who still holds memory of a router."""
    found = []
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if f"memfd:superserve_{router}_" in str(fd.readlink()):
                found.append(str(fd))
    return found


def with_server(settings: Settings, talk: Callable[[Server, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> list[str]:
    """What became of the requests of one connection, by id."""

    async def run() -> list[str]:
        server = Server(settings)
        try:
            await server.listen()
            await asyncio.wait_for(server.start(), 60)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            await asyncio.wait_for(talk(server, reader, writer), 60)
            writer.close()
            await server.drain()
            outcomes = server.outcomes()
            assert outcomes is not None
            return [STATUSES[status] for status in outcomes.status]
        finally:
            server.stop()

    return asyncio.run(run())


async def answers(reader: asyncio.StreamReader, count: int) -> list[int]:
    """The statuses of so many answers."""
    found = []
    for _ in range(count):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[1])
        await reader.readexactly(length)
        found.append(int(head.split()[1]))
    return found


def test_the_batch_of_a_worker_that_is_killed_in_the_middle_of_it_is_answered_by_the_other(tmp_path: Path) -> None:
    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(question() * 12)
        await asyncio.sleep(0.05)  # both have a batch of 150 ms now
        os.kill(server.pids[0], signal.SIGKILL)
        assert await answers(reader, 12) == [200] * 12

    assert with_server(sleepers(tmp_path, latency_ms=150, workers=2), talk) == ["met"] * 12


SERVE = """
import asyncio, sys
from pathlib import Path
from superserve_cli.serving.server import run
from tests.serving.test_faults import sleepers
asyncio.run(run(sleepers(Path(sys.argv[1]), workers=2, port=int(sys.argv[2]), latency_ms=100), lambda s: print(s.url, *s.pids, flush=True)))
"""


def served(folder: Path, port: int) -> tuple[subprocess.Popen[str], str, list[int]]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(folder), str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url, *pids = process.stdout.readline().split()
    return process, url, [int(pid) for pid in pids]


def test_a_router_that_is_killed_leaves_no_process_no_memory_and_its_port_free(tmp_path: Path) -> None:
    process, url, pids = served(tmp_path, 0)
    with process:
        assert memories(process.pid)
        os.kill(pids[1], signal.SIGSTOP)  # not even one that could not notice
        process.kill()
    until(lambda: not any(map(alive, pids)))
    assert memories(process.pid) == []
    assert not list(Path("/dev/shm").glob("superserve*"))
    again, url_again, pids = served(tmp_path, int(url.rpartition(":")[2]))
    with again:
        assert url_again == url
        assert urllib.request.urlopen(f"{url}/v2/health/ready", timeout=10).status == 200
        again.terminate()
    assert not any(map(alive, pids))


@pytest.mark.parametrize(("does", "reason"), [("raises", "exited"), ("babbles", "malformed"), ("hangs", "hung")])
def test_a_worker_that_goes_mad_is_lost_and_comes_back(does: str, reason: str) -> None:
    async def talk(worker: ProcessWorker) -> None:
        news = await serving(worker)
        worker.start("small", [POISON], PLAN_NS)
        assert await news.next() == ("lost", 3, reason)
        assert await news.next() == ("restored", 3)
        worker.start("small", [ROWS], PLAN_NS)
        assert (await news.next())[2][:, 0].tolist() == [3.0, 12.0]

    with_worker(Order("tests.serving.misfits:make", {"does": does}), talk, hung_ns=300_000_000)


@pytest.mark.parametrize(
    ("life", "reason"),
    [
        ("fails", "exited"),
        ("sleeps", "stuck"),
        ("another", "malformed"),
        ("ready", "malformed"),
        ("babbles early", "malformed"),
    ],
)
def test_a_worker_that_does_not_come_back_is_tried_again_until_it_does(life: str, reason: str, tmp_path: Path) -> None:
    order = Order("tests.serving.misfits:by_lives", {"counter": str(tmp_path / "lives"), "does": ["raises", life, "raises"]})

    async def run() -> None:
        worker = ProcessWorker(3, order, start_s=4)
        try:
            news = await serving(worker)
            os.kill(pid_of(worker), signal.SIGKILL)
            assert await news.next() == ("lost", 3, "exited")
            assert await news.next() == ("lost", 3, reason)
            while (said := await news.next()) != ("restored", 3):
                assert said[0] == "lost"  # a start that was slower than the limit of this test
        finally:
            worker.stop()

    asyncio.run(run())


def test_a_worker_that_cannot_be_started_again_is_lost_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order("tests.serving.misfits:by_lives", {"counter": str(tmp_path / "lives"), "does": ["raises", "raises"]})

    def starve(memory: int) -> NoReturn:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    async def talk(worker: ProcessWorker) -> None:
        news = await serving(worker)
        monkeypatch.setattr(process, "launch", starve)
        os.kill(pid_of(worker), signal.SIGKILL)
        assert await news.next() == ("lost", 3, "exited")
        assert await news.next() == ("lost", 3, "unstartable")
        monkeypatch.setattr(process, "launch", launch)
        while (said := await news.next()) != ("restored", 3):
            assert said == ("lost", 3, "unstartable")

    with_worker(order, talk)


def test_a_worker_that_breaks_in_the_thread_that_waits_is_lost(tmp_path: Path) -> None:
    profile = sleepers(tmp_path).orders[0].arguments["profile"]

    async def talk(worker: ProcessWorker) -> None:
        news = await serving(worker)
        worker.start("small", [ROWS], PLAN_NS)
        assert await news.next() == ("lost", 3, "exited")

    with_worker(Order("tests.serving.misfits:fumbler", {"profile": profile}), talk)


def test_graphs_are_served_through_a_ring_of_two_slots(tmp_path: Path) -> None:
    net = images()
    supernet.save(tmp_path, net)
    rows = np.random.default_rng(0).normal(size=(5, 4, 1, 8, 8)).astype(np.float32)
    logits = []

    async def talk(worker: ProcessWorker) -> None:
        hello = await worker.introduced()
        await worker.warmed(Plan(SOME_IMAGES, (1, 2, 4), hello.model.shape, hello.model.classes, hello.model.datatype))
        news = News()
        worker.report_to(news)
        assert await news.next() == ("restored", 3)
        for batch in rows:
            worker.start(SOME_IMAGES[0], [batch[:1], batch[1:3]], PLAN_NS)
            while (said := await news.next())[0] == "free":
                pass
            logits.append(said[2])
        assert hello.slots == 2
        assert all(actuation_ns is not None and 0 < actuation_ns < 10**9 for actuation_ns in news.actuations_ns)

    with_worker(Order("tests.serving.recorded:graphs", {"path": str(tmp_path)}), talk)
    expected = TorchWorker(net, threads=1)
    for batch, told in zip(rows, logits, strict=True):
        np.testing.assert_allclose(told, expected.infer(SOME_IMAGES[0], batch[:3]), rtol=1e-4, atol=1e-5)


def test_a_worker_cannot_take_the_memory_from_under_the_router() -> None:
    async def talk(worker: ProcessWorker) -> None:
        await worker.introduced()
        await worker.warmed(PLAN)
        news = News()
        worker.report_to(news)
        await news.next()
        worker.start("small", [POISON], PLAN_NS)
        assert await news.next() == ("lost", 3, "exited")  # it may not, and ends of it
        worker.start("small", [ROWS], PLAN_NS)

    with_worker(Order("tests.serving.misfits:make", {"does": "shrinks"}), talk)


def test_a_request_that_hangs_two_workers_fails_and_the_others_are_answered(tmp_path: Path) -> None:
    settings = sleepers(tmp_path, workers=3)
    orders = [Order("tests.serving.misfits:make", {"does": "hangs"})] * 3

    async def talk(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(question(13).replace(b"sleeper", b"misfit"))
        await asyncio.sleep(0.05)
        writer.write(question(1).replace(b"sleeper", b"misfit") * 5)
        assert await answers(reader, 6) == [503] + [200] * 5

    mad = Settings(orders, settings.profile, settings.policy, "shed", 20 * 10**9, port=0, record=True, hung_ns=200_000_000)
    assert sorted(with_server(mad, talk)) == ["failed"] + ["met"] * 5


def test_a_worker_that_overlaps_is_given_its_next_batch_before_it_answers(tmp_path: Path) -> None:
    path = tmp_path / "profile.csv"
    path.write_text("subnet,batch_size,latency_ms,accuracy\nsmall,1,100,0.8\nsmall,2,100,0.8\n")
    order = Order("superserve_cli.serving.workers.sleep:make", {"profile": str(path), "shape": [3], "begin_s": 0.05})

    async def talk(worker: ProcessWorker) -> None:
        assert (await worker.introduced()).slots == 2
        await worker.warmed(PLAN)
        news = News()
        worker.report_to(news)
        assert await news.next() == ("restored", 3)
        worker.start("small", [ROWS[:1]], PLAN_NS)
        assert (await news.next())[0] == "done"  # how long such batches take is known from now on
        worker.start("small", [ROWS[:1]], PLAN_NS)
        assert await news.next() == ("free", 3)
        worker.start("small", [ROWS[1:]], PLAN_NS)
        heard = [await news.next() for _ in range(3)]
        assert [said for said, *_ in heard] == ["done", "free", "done"]
        assert [logits[0, 0] for said, _, logits, _ in (heard[0], heard[2])] == [3.0, 12.0]

    with_worker(order, talk)


@pytest.mark.parametrize("job", [b"", b"?", b"x" * 100, JOB.pack(1, 0, 1), JOB.pack(0, 1, 1), JOB.pack(0, 0, 0), JOB.pack(0, 0, 3)])
def test_a_process_refuses_a_job_that_cannot_be(job: bytes, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    memory = ring.create(0)
    command = [sys.executable, "-m", "superserve_cli.serving.workers.child", str(theirs.fileno()), str(memory)]
    with ours, theirs, subprocess.Popen(command, pass_fds=(theirs.fileno(), memory), stderr=subprocess.PIPE, text=True) as child:
        theirs.close()
        ours.settimeout(60)
        ours.send(Order("tests.serving.misfits:make", {"does": ""}).encode())
        assert decode_hello(ours.recv(10_000)) == Hello(Model("misfit", "none", (3,), 10), {"device": "sleep", "threads": 1})
        plan = Plan(("small",), (1, 2), (3,), 10)
        ring.allot(memory, plan)
        ours.send(plan.encode())
        assert ours.recv(100) == READY
        if not job:
            ours.close()
        else:
            ours.send(job)
        assert child.stderr is not None
        said = child.stderr.read()
    os.close(memory)
    assert ("Malformed" in said, child.returncode) == (bool(job), int(bool(job)))
