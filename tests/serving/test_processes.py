"""Real processes: a second or two, no device."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superserve_cli import supernet
from superserve_cli.errors import SuperserveError
from superserve_cli.serving.model import Model
from superserve_cli.serving.workers.messages import Order, Plan
from superserve_cli.serving.workers.process import ProcessWorker
from superserve_cli.supernet.onnx import export_whole
from tests.serving.nets import words

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
PLAN_NS = 3_000_000
PLAN = Plan(("small",), (1, 2), (3,), 10)


class News:
    """A listener whose news can be waited for."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.actuations_ns: list[int | None] = []

    def done(self, worker: int, logits: Any, compute_ns: int, actuation_ns: int | None = None) -> None:
        self.actuations_ns.append(actuation_ns)
        self.queue.put_nowait(("done", worker, logits.copy(), compute_ns))

    def free(self, worker: int) -> None:
        self.queue.put_nowait(("free", worker))

    def lost(self, worker: int, reason: str = "ended") -> None:
        self.queue.put_nowait(("lost", worker, reason))

    def restored(self, worker: int) -> None:
        self.queue.put_nowait(("restored", worker))

    async def next(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self.queue.get(), 60)


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    profile = tmp_path_factory.mktemp("profile") / "profile.csv"
    profile.write_text("subnet,batch_size,latency_ms,accuracy\nsmall,1,2,0.8\nsmall,2,3,0.8\n")
    return Order("superserve_cli.serving.workers.sleep:make", {"profile": str(profile), "shape": [3]})


def with_worker(order: Order, talk: Callable[[ProcessWorker], Awaitable[None]], hung_ns: int | None = None) -> None:
    async def run() -> None:
        worker = ProcessWorker(3, order, hung_ns)
        try:
            await asyncio.wait_for(talk(worker), 120)
        finally:
            worker.stop()

    asyncio.run(run())


async def serving(worker: ProcessWorker) -> News:
    """What is heard of a worker from when it serves."""
    await worker.introduced()
    await worker.warmed(PLAN)
    news = News()
    worker.report_to(news)
    assert await news.next() == ("restored", 3)
    return news


def pid_of(worker: ProcessWorker) -> int:
    assert worker.pid is not None
    return worker.pid


def test_a_worker_introduces_itself_runs_a_batch_comes_back_from_the_dead_and_leaves_nothing(order: Order) -> None:
    pids = []

    async def talk(worker: ProcessWorker) -> None:
        hello = await worker.introduced()
        assert hello.model == Model("sleeper", "none", (3,), 10)
        assert hello.hardware["device"] == "sleep"
        news = News()
        await worker.warmed(PLAN)
        worker.report_to(news)
        assert await news.next() == ("restored", 3)
        worker.start("small", [ROWS[:1], ROWS[1:]], PLAN_NS)
        said, index, logits, compute_ns = await news.next()
        assert (said, index, logits[:2, 0].tolist()) == ("done", 3, [3.0, 12.0])
        assert compute_ns >= 3_000_000
        pids.append(pid_of(worker))
        os.kill(pids[0], signal.SIGKILL)
        assert await news.next() == ("lost", 3, "exited")
        worker.start("small", [ROWS[:1]], PLAN_NS)  # nobody is there: no news of it, and no exception
        assert await news.next() == ("restored", 3)
        pids.append(pid_of(worker))
        worker.start("small", [ROWS[1:]], PLAN_NS)
        assert (await news.next())[2][0, 0] == 12.0

    with_worker(order, talk)
    assert len(set(pids)) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_that_hangs_is_ended_and_started_again(order: Order) -> None:
    async def talk(worker: ProcessWorker) -> None:
        news = await serving(worker)
        os.kill(pid_of(worker), signal.SIGSTOP)
        worker.start("small", [ROWS], PLAN_NS)
        assert await news.next() == ("lost", 3, "hung")
        assert await news.next() == ("restored", 3)

    with_worker(order, talk, hung_ns=100_000_000)


def test_what_a_worker_complains_about_is_told_to_the_user(tmp_path: Path) -> None:
    async def talk(worker: ProcessWorker) -> None:
        await worker.introduced()

    missing = Order("superserve_cli.serving.workers.sleep:make", {"profile": str(tmp_path / "missing.csv"), "shape": [3]})
    with pytest.raises(SuperserveError, match=r"there is no .*missing\.csv"):
        with_worker(missing, talk)


def test_a_worker_that_dies_before_it_is_ready_is_an_error_not_a_wait() -> None:
    async def talk(worker: ProcessWorker) -> None:
        await worker.introduced()

    with pytest.raises(SuperserveError, match="worker 3 ended with code 1 before it was ready"):
        with_worker(Order(f"{__name__}:missing"), talk)


def test_a_worker_of_words_and_one_on_onnx_runtime_answer_alike_and_come_back_from_the_dead(tmp_path: Path) -> None:
    net = words()
    (tmp_path / "net").mkdir()
    supernet.save(tmp_path / "net", net)
    export_whole(net, ["d1", "d3"], tmp_path / "whole.onnx", verify=False)
    rows = np.random.default_rng(0).integers(0, 20, (2, 6))
    answers = []

    async def talk(worker: ProcessWorker) -> None:
        model = (await worker.introduced()).model
        assert (model.name, model.datatype, model.vocabulary) == ("words", "INT64", (20, 2))
        await worker.warmed(Plan(("d1", "d3"), (1, 2), model.shape, model.classes, model.datatype))
        news = News()
        worker.report_to(news)
        assert await news.next() == ("restored", 3)
        worker.start("d3", [rows[:1], rows[1:]], PLAN_NS)
        answers.append((await news.next())[2])
        os.kill(pid_of(worker), signal.SIGKILL)
        assert await news.next() == ("lost", 3, "exited")
        assert await news.next() == ("restored", 3)
        worker.start("d3", [rows], PLAN_NS)
        assert np.array_equal((await news.next())[2], answers[-1])

    for path in ("net", "whole.onnx"):
        with_worker(Order("superserve_cli.serving.workers.resident:make", {"path": str(tmp_path / path), "threads": 1}), talk)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def test_a_profile_of_other_subnets_is_refused_by_name(tmp_path: Path) -> None:
    supernet.save(tmp_path, words())

    async def talk(worker: ProcessWorker) -> None:
        await worker.introduced()
        await worker.warmed(Plan(("d1", "d7"), (1,), (6,), 3, "INT64"))

    with pytest.raises(SuperserveError, match="'d7'"):
        with_worker(Order("superserve_cli.serving.workers.resident:make", {"path": str(tmp_path), "threads": 1}), talk)
