"""What handing a batch to a worker process costs, from the router's call to the moment when the process has it in its own view."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.bench.figure import Figure
from superserve_cli.core.nouns import NS_PER_US, Progress
from superserve_cli.serving.workers.messages import Order, Plan
from superserve_cli.serving.workers.process import ProcessWorker

ROWS: Final = 16
SHAPE: Final = (3, 224, 224)
"""Of bytes: a row has 150 KB, a batch 2.4 MB."""
POOL: Final = 64
"""Rows come from so many arrays in turn: what a router hands over it has just received, but not just read."""
WARM_UP: Final = 50
BATCHES: Final = 1000
TARGET_US: Final = 200
SUBNET: Final = "any"
PLAN_NS: Final = 1000
PROFILE: Final = f"subnet,batch_size,latency_ms,accuracy\n{SUBNET},{ROWS},0.001,1\n"

Rows = Sequence[NDArray[Any]]


class _Answers:
    """A listener that can be waited for."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.up = asyncio.Event()
        self.answer: asyncio.Future[None] = self.loop.create_future()

    def free(self, worker: int) -> None:
        """Nothing is handed over before its answer is there."""

    def done(self, worker: int, logits: NDArray[np.float32], compute_ns: int, actuation_ns: int | None = None) -> None:
        """The batch is through."""
        self.answer.set_result(None)

    def lost(self, worker: int, reason: str = "ended") -> None:
        """A benchmark without its worker ends."""
        self.answer.set_exception(AssertionError(f"the worker was lost: {reason}"))

    def restored(self, worker: int) -> None:
        """It may begin."""
        self.up.set()


def handoff(progress: Progress) -> list[Figure]:
    """A batch of 16 rows of 150 KB in arrays of their own, and of one array, to a process of its own; the copy alone beside it."""
    progress(0, 1, "batches of 2.4 MB")
    with TemporaryDirectory() as folder:
        profile = Path(folder, "profile.csv")
        profile.write_text(PROFILE)
        gathered, whole = asyncio.run(_measured(profile))
    progress(1, 1, "")
    return [
        Figure("handoff_us_p50", "hand-off of 16 x 150 KB to a process, p50", _us(gathered, 50), "us", TARGET_US),
        Figure("handoff_us_p99", "... p99", _us(gathered, 99), "us"),
        Figure("handoff_whole_us_p50", "... as one array, p50", _us(whole, 50), "us"),
        Figure("gather_us_p50", "the copy of 16 x 150 KB alone, p50", _us(_copies(), 50), "us"),
    ]


def _us(times_ns: Sequence[int], percent: int) -> float:
    return float(np.percentile(times_ns, percent) / NS_PER_US)


def _pool() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(256, size=(1, *SHAPE), dtype=np.uint8) for _ in range(POOL)]


def _batches(count: int) -> list[Rows]:
    pool = _pool()
    return [[pool[(at * ROWS + row) % POOL] for row in range(ROWS)] for at in range(count)]


async def _measured(profile: Path) -> tuple[list[int], list[int]]:
    """The times of batches from arrays of their own, and from one."""
    worker = ProcessWorker(0, Order("superserve_cli.serving.workers.sleep:make", {"profile": str(profile), "shape": SHAPE}))
    try:
        model = (await worker.introduced()).model
        await worker.warmed(Plan((SUBNET,), (ROWS,), SHAPE, model.classes, "UINT8"))
        gathered = _batches(WARM_UP + BATCHES)
        pieces: list[Rows] = [[np.concatenate(batch)] for batch in _batches(POOL // ROWS)]
        whole = pieces * (len(gathered) // len(pieces))
        answers = _Answers()
        worker.report_to(answers)
        await answers.up.wait()
        return [await _handed(worker, answers, batch) for batch in gathered][WARM_UP:], [
            await _handed(worker, answers, batch) for batch in whole
        ][WARM_UP:]
    finally:
        worker.stop()


async def _handed(worker: ProcessWorker, answers: _Answers, batch: Rows) -> int:
    answers.answer = answers.loop.create_future()
    begun_ns = time.monotonic_ns()
    worker.start(SUBNET, batch, PLAN_NS)
    await answers.answer
    return worker.begun_ns - begun_ns


def _copies() -> list[int]:
    target, times_ns = np.zeros((ROWS, *SHAPE), np.uint8), []
    for batch in _batches(BATCHES):
        begun_ns = time.monotonic_ns()
        for at, row in enumerate(batch):
            target[at] = row[0]
        times_ns.append(time.monotonic_ns() - begun_ns)
    return times_ns
