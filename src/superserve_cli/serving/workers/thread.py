"""A worker in a thread of the router's own process: for tests, which get real concurrency without a process.

A thread of Python delays the event loop beside it by milliseconds, so nothing is served with it.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet, Worker
from superserve_cli.serving.links import Listener
from superserve_cli.serving.logs import Event

log = logging.getLogger("superserve.worker")


class ThreadWorker:
    """A link to any worker, with a thread of its own until `stop`. A batch that raises is lost, and the worker is there again."""

    def __init__(self, index: int, worker: Worker) -> None:
        self._index = index
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._thread = ThreadPoolExecutor(1, f"worker-{index}")

    def report_to(self, listener: Listener) -> None:
        """It is warm at once."""
        self._listener = listener
        listener.restored(self._index)

    def start(self, subnet: Subnet, batch: Sequence[NDArray[Any]], plan_ns: int) -> None:
        """Run the rows in the thread."""
        running = self._loop.run_in_executor(self._thread, self._run, subnet, np.concatenate(batch))
        running.add_done_callback(self._ended)

    def look(self) -> None:
        """Nothing: it reports through the event loop alone."""

    def stop(self) -> None:
        """Wait for the batch that runs, and end the thread."""
        self._listener = None
        self._thread.shutdown()

    def _run(self, subnet: Subnet, rows: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
        begun_ns = time.monotonic_ns()
        return self._worker.infer(subnet, rows), time.monotonic_ns() - begun_ns

    def _ended(self, running: "asyncio.Future[tuple[NDArray[np.float32], int]]") -> None:
        if running.cancelled() or self._listener is None:
            return
        if (error := running.exception()) is None:
            self._listener.done(self._index, *running.result())
        else:
            log.error(Event("worker_raised", worker=self._index, error=repr(error)))
            self._listener.lost(self._index, "raised")
            self._listener.restored(self._index)
