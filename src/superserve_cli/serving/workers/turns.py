"""Who has which slot: what router and worker process tell each other about batches, with every message checked on both sides.

A JOB hands a slot over. The process answers its jobs in their order, each with a DONE that gives the slot back, and before it may say
FREE once: the router may hand the next slot over. A worker of one slot never says FREE. Both sides count, so a message names no slot
that the other side does not expect; nothing here reads a clock or a socket.
"""

import struct
from collections import deque
from typing import Final, NamedTuple

from superserve_cli.core.nouns import new
from superserve_cli.serving.workers.messages import Malformed, Plan

JOB: Final = struct.Struct("<III")
REPORT: Final = struct.Struct("<IIqqq")
FREE, DONE = 1, 2
UNSEEN: Final = -1
"""The actuation of a worker that does not say when it had chosen."""
NEVER: Final = 2**62


class Job(NamedTuple):
    """So many rows in a slot, for the subnet of this number."""

    slot: int
    subnet: int
    rows: int


class Done(NamedTuple):
    """The rows of a slot are answered.

    When their inference began, by the clock that both processes share, how long it took, and how long from the job to the program of its
    subnet (None: the worker does not say).
    """

    slot: int
    rows: int
    begun_ns: int
    took_ns: int
    actuation_ns: int | None = None


class _Batch(NamedTuple):
    slot: int
    rows: int
    handed_ns: int
    bound_ns: int


class RouterTurns:
    """The router's side: the batches that a worker has, oldest first, and by when it must have answered."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._handed = 0
        self._batches: deque[_Batch] = deque()
        self._free = True
        self._last_done_ns = 0

    def hand(self, subnet: int, rows: int, now_ns: int, bound_ns: int) -> Job:
        """The job of the next batch, which must be answered within so long after those before it."""
        assert self._free
        assert len(self._batches) < self._slots
        slot = self.slot
        self._batches.append(new(_Batch, (slot, rows, now_ns, bound_ns)))
        self._handed += 1
        self._free = False
        return new(Job, (slot, subnet, rows))

    @property
    def slot(self) -> int:
        """Where the next batch belongs."""
        return self._handed % self._slots

    @property
    def due_ns(self) -> int:
        """When a worker that has not answered its oldest batch must be taken for hung."""
        if not self._batches:
            return NEVER
        oldest = self._batches[0]
        return max(oldest.handed_ns, self._last_done_ns) + oldest.bound_ns

    def read(self, message: bytes, now_ns: int) -> Done | None:
        """What a report says: an answer, or (None) that the next batch may come; raises Malformed."""
        if len(message) != REPORT.size:
            raise Malformed(f"a report of {len(message)} bytes")
        kind, slot, begun_ns, took_ns, actuation_ns = REPORT.unpack(message)
        if kind == DONE:
            return self._done(slot, begun_ns, took_ns, actuation_ns, now_ns)
        if kind != FREE:
            raise Malformed(f"a report of kind {kind}")
        self._freed(slot)
        return None

    def _freed(self, slot: int) -> None:
        if self._free or not self._batches or slot != self._batches[-1].slot or len(self._batches) == self._slots:
            raise Malformed(f"free with slot {slot}, while slots {[batch.slot for batch in self._batches]} wait")
        self._free = True

    def _done(self, slot: int, begun_ns: int, took_ns: int, actuation_ns: int, now_ns: int) -> Done:
        if not self._batches or slot != self._batches[0].slot:
            raise Malformed(f"slot {slot} done, while slots {[batch.slot for batch in self._batches]} wait")
        oldest = self._batches[0]
        if not (oldest.handed_ns <= begun_ns and 0 <= took_ns <= now_ns - begun_ns):
            raise Malformed(f"a batch of {oldest.handed_ns} ns that began at {begun_ns} ns and took {took_ns} ns is done at {now_ns} ns")
        if not UNSEEN <= actuation_ns <= now_ns - oldest.handed_ns:
            raise Malformed(f"a batch of {oldest.handed_ns} ns that is done at {now_ns} ns took {actuation_ns} ns to actuate")
        self._batches.popleft()
        self._free = self._free or not self._batches
        self._last_done_ns = now_ns
        return new(Done, (slot, oldest.rows, begun_ns, took_ns, None if actuation_ns == UNSEEN else actuation_ns))


class WorkerTurns:
    """The process's side: which jobs can be."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._taken = self._answered = 0

    def read(self, message: bytes) -> Job:
        """What a job says; raises Malformed."""
        if len(message) != JOB.size:
            raise Malformed(f"a job of {len(message)} bytes")
        job, plan = Job(*JOB.unpack(message)), self._plan
        if self._taken - self._answered >= plan.slots or job.slot != self._taken % plan.slots:
            raise Malformed(f"{job}, while {self._taken - self._answered} of {plan.slots} slots are taken")
        if job.subnet >= len(plan.subnets) or not 1 <= job.rows <= plan.largest:
            raise Malformed(f"{job}, which is not planned")
        self._taken += 1
        return job

    def free(self, job: Job) -> bytes:
        """The report that the next batch may come."""
        return REPORT.pack(FREE, job.slot, 0, 0, UNSEEN)

    def done(self, job: Job, begun_ns: int, took_ns: int, actuation_ns: int = UNSEEN) -> bytes:
        """The report that a job is done."""
        self._answered += 1
        return REPORT.pack(DONE, job.slot, begun_ns, took_ns, actuation_ns)
