"""Workers whose device copies one batch while it computes another, and the loop that keeps their device busy."""

import socket
import time
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S, Subnet, Worker
from superserve_cli.serving.workers.actuation import actuation_ns
from superserve_cli.serving.workers.messages import Plan
from superserve_cli.serving.workers.ring import Slot
from superserve_cli.serving.workers.turns import JOB, Job, WorkerTurns

WEIGHT: Final = 1 / 8
"""Of a new measurement in an average."""


@runtime_checkable
class Overlapping(Worker, Protocol):
    """A worker that holds `slots` batches at once, and finishes them in the order in which they were begun."""

    slots: int

    def begin(self, slot: int, subnet: Subnet, batch: NDArray[Any]) -> None:
        """Send a batch (n, ...) on its way through a slot that is free; `batch` stays as it is until it is finished."""
        ...

    def finish(self, slot: int) -> NDArray[np.float32]:
        """Wait for the outputs (n, ...) of a slot; they are valid until another batch begins in it."""
        ...


class _Way(NamedTuple):
    job: Job
    begun_ns: int
    actuation_ns: int


class Foresight:
    """When a device will be through with a batch, from how long batches like it took, and how long beginning one takes."""

    def __init__(self) -> None:
        self._took_ns: dict[tuple[int, int], float] = {}
        self._begin_ns = 0.0

    def begun(self, took_ns: int) -> None:
        """To begin a batch took so long."""
        self._begin_ns += WEIGHT * (took_ns - self._begin_ns)

    def took(self, job: Job, took_ns: int) -> None:
        """A batch took so long."""
        known_ns = self._took_ns.get((job.subnet, job.rows), took_ns)
        self._took_ns[job.subnet, job.rows] = known_ns + WEIGHT * (took_ns - known_ns)

    def lead_ns(self, job: Job) -> float | None:
        """How long after a batch its successor can begin, to be ready just when the device is; None where nothing is known."""
        known_ns = self._took_ns.get((job.subnet, job.rows))
        return None if known_ns is None else max(0.0, known_ns - self._begin_ns)


class Overlap:
    """Jobs begin in this thread as they come; another waits for them, one after the other, and reports.

    The next batch is asked for so long before the present one ends as it takes to begin one: it then waits for nobody, and takes no
    longer than planned. How long batches take counts from when the device was through with the one before.
    """

    def __init__(self, control: socket.socket, worker: Overlapping, plan: Plan, slots: Sequence[Slot]) -> None:
        self._control = control
        self._worker = worker
        self._plan = plan
        self._slots = slots
        self._turns = WorkerTurns(plan)
        self._foresight = Foresight()
        self._begun: SimpleQueue[_Way | None] = SimpleQueue()
        self._through_ns = 0
        self._error: BaseException | None = None

    def run(self) -> None:
        """Until the router is gone; raises what goes wrong in either thread."""
        waiter = Thread(target=self._wait)
        waiter.start()
        try:
            while message := self._control.recv(JOB.size + 1):
                self._begin(message)
        finally:
            self._begun.put(None)
            waiter.join()
        if self._error is not None:
            raise self._error

    def _begin(self, message: bytes) -> None:
        begun_ns = time.monotonic_ns()
        job = self._turns.read(message)
        self._worker.begin(job.slot, self._plan.subnets[job.subnet], self._slots[job.slot].inputs[: job.rows])
        self._foresight.begun(time.monotonic_ns() - begun_ns)
        self._begun.put(_Way(job, begun_ns, actuation_ns(self._worker, begun_ns)))

    def _wait(self) -> None:
        try:
            while way := self._begun.get():
                self._follow(*way)
        except BaseException as error:  # it is raised where somebody sees it
            self._error = error
            self._control.shutdown(socket.SHUT_RDWR)

    def _follow(self, job: Job, begun_ns: int, actuation_ns: int) -> None:
        begun_ns = max(begun_ns, self._through_ns)
        if (lead_ns := self._foresight.lead_ns(job)) is not None:
            time.sleep(max(0.0, begun_ns + lead_ns - time.monotonic_ns()) / NS_PER_S)
            self._control.send(self._turns.free(job))
        self._slots[job.slot].logits[: job.rows] = self._worker.finish(job.slot)
        self._through_ns = time.monotonic_ns()
        self._foresight.took(job, self._through_ns - begun_ns)
        self._control.send(self._turns.done(job, begun_ns, self._through_ns - begun_ns, actuation_ns))
