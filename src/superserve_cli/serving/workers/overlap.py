"""Workers whose device copies one batch while it computes another, and the loop that keeps two batches on the way."""

import socket
import time
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet, Worker
from superserve_cli.serving.workers.messages import Plan
from superserve_cli.serving.workers.ring import Slot
from superserve_cli.serving.workers.turns import JOB, Job, WorkerTurns


class Begun(Protocol):
    """A batch on its way through a device."""

    def free(self) -> None:
        """Wait until another batch could begin and still take no longer than it would alone."""
        ...

    def result(self) -> NDArray[np.float32]:
        """Wait for the outputs (n, ...)."""
        ...


@runtime_checkable
class Overlapping(Worker, Protocol):
    """A worker that can hold `slots` batches at once: one that it computes, others that it copies."""

    slots: int

    def begin(self, subnet: Subnet, batch: NDArray[Any]) -> Begun:
        """Send a batch (n, ...) on its way; its memory stays as it is until the result is there."""
        ...


class _Way(NamedTuple):
    job: Job
    begun_ns: int
    batch: Begun


class Overlap:
    """Jobs begin in this thread as they come; another waits for them, one after the other, and reports."""

    def __init__(self, control: socket.socket, worker: Overlapping, plan: Plan, slots: Sequence[Slot]) -> None:
        self._control = control
        self._worker = worker
        self._plan = plan
        self._slots = slots
        self._turns = WorkerTurns(plan)
        self._begun: SimpleQueue[_Way | None] = SimpleQueue()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Until the router is gone; raises what goes wrong in either thread."""
        waiter = Thread(target=self._wait)
        waiter.start()
        try:
            while message := self._control.recv(JOB.size + 1):
                self._begin(self._turns.read(message))
        finally:
            self._begun.put(None)
            waiter.join()
        if self._error is not None:
            raise self._error

    def _begin(self, job: Job) -> None:
        begun_ns = time.monotonic_ns()
        batch = self._worker.begin(self._plan.subnets[job.subnet], self._slots[job.slot].inputs[: job.rows])
        self._begun.put(_Way(job, begun_ns, batch))

    def _wait(self) -> None:
        try:
            while way := self._begun.get():
                self._follow(*way)
        except BaseException as error:  # it is raised where somebody sees it
            self._error = error
            self._control.shutdown(socket.SHUT_RDWR)

    def _follow(self, job: Job, begun_ns: int, batch: Begun) -> None:
        batch.free()
        self._control.send(self._turns.free(job))
        self._slots[job.slot].logits[: job.rows] = batch.result()
        self._control.send(self._turns.done(job, begun_ns, time.monotonic_ns() - begun_ns))
