"""Requests in, batches out: the engine with a clock, worker links and somebody to answer. One event at a time, on one event loop."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S, Request, Subnet, new
from superserve_cli.core.outcomes import DROPPED, FAILED, LATE, MET, REJECTED
from superserve_cli.engine import Dispatch, Drop, Engine
from superserve_cli.engine.scaled import AS_PLANNED
from superserve_cli.engine.steps import NEVER
from superserve_cli.serving.clock import Clock
from superserve_cli.serving.drift import DriftGuard
from superserve_cli.serving.ids import id_of
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.links import Link
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.overhead import LEAST_NS, Overhead
from superserve_cli.serving.refusals import Busy, Failed, Invalid, Refusal, TooLate
from superserve_cli.serving.room import Room
from superserve_cli.serving.statistics import Statistics
from superserve_cli.serving.waiting import Answer, Reply, Running, Waiting

LOOK_NS: Final = 250_000
"""So long at most the router reads requests or tells clients that they are too late while a worker that is done waits for it."""
MOST_LOSSES: Final = 2
"""A request whose batch was lost so often may be the reason: it is not given to another worker."""


class Router:
    """The one queue of a server: it admits, decides, hands over and answers.

    A request is judged when its answer comes back, so what a batch takes beside inference, to the last of its answers, is taken off
    the slack that the engine sees.
    """

    def __init__(
        self,
        engine: Engine,
        links: Sequence[Link],
        clock: Clock,
        metrics: Metrics,
        ledger: Ledger | None = None,
        max_queue: int = 10_000,
        drift_guard: bool = True,
        room: Room | None = None,
    ) -> None:
        self._engine = engine
        self._links = links
        self._now_ns = clock.now_ns
        self._call_later = clock.call_later
        self.metrics = metrics
        self._ledger = ledger
        self.max_queue = max_queue
        self.statistics = Statistics(time.time_ns() - clock.now_ns())
        self._arrivals = 0
        self._room = room or Room()
        self._room.retry_after_s = self.retry_after_s
        self._waiting: dict[int, Waiting] = {}
        self._running: list[deque[Running]] = [deque() for _ in links]
        self._wakes_ns = self._expires_ns = NEVER
        self._looked_ns = 0
        self._late: deque[Reply] = deque()
        self._telling = False
        self.overhead = Overhead()
        self.closed = False
        metrics.depth = lambda: engine.depth
        metrics.live = lambda: engine.live
        metrics.pending = lambda: self.pending
        metrics.oldest_s = lambda: self.oldest_s
        self._guard: DriftGuard | None = None
        self._guarded_since_ns = 0
        if drift_guard:
            self._watch_drift(clock.now_ns())

    @property
    def pending(self) -> int:
        """Requests that have no answer yet."""
        return len(self._waiting)

    @property
    def oldest_s(self) -> float:
        """How long the request that has waited longest in the queue has done so."""
        oldest_ns = self._engine.oldest_ns
        return 0.0 if oldest_ns is None else (self._now_ns() - oldest_ns) / NS_PER_S

    @property
    def live(self) -> int:
        """Workers that are up."""
        return self._engine.live

    # what clients do

    def submit(
        self, rows: NDArray[Any], slo_ns: int, min_accuracy: float, reply: Reply, subnet: Subnet | None = None, priority: int = 0
    ) -> int:
        """Queue the rows (n, ...) of one request and return its id; raises Invalid and Busy, and then nobody is replied to.

        Of requests with the same deadline the one with the smaller id goes first: that is all that a priority decides.
        """
        if (now_ns := self._now_ns()) - self._looked_ns > LOOK_NS:
            now_ns = self._look(now_ns)
        engine, id = self._engine, id_of(self._arrivals, priority)
        request = new(Request, (id, now_ns, now_ns + slo_ns, min_accuracy, len(rows), subnet))
        self._arrivals += 1
        try:
            self._admit(request)
            self._room.take(rows.nbytes)
        except Refusal:
            self._end(request, now_ns, REJECTED)
            raise
        self._waiting[id] = Waiting(request, rows, reply)
        engine.arrive(request)
        if (expires_ns := engine.expires_ns(id)) - LEAST_NS < self._expires_ns:  # else it is planned for an earlier time
            self._expire_at(expires_ns, now_ns)
        if engine.idle:
            self._decide(now_ns)
        return id

    def _admit(self, request: Request) -> None:
        """Raise why a request cannot be let in."""
        engine = self._engine
        _, _, _, floor, rows, subnet = request
        if rows > engine.largest:
            raise Invalid(f"a request may have at most {engine.largest} rows, the largest profiled batch; this one has {rows}")
        if floor and not engine.reaches(floor, subnet):
            who = "no served subnet reaches" if subnet is None else f"subnet {subnet!r} does not reach"
            raise Invalid(f"{who} min_accuracy {floor:g}")
        if self.closed or not engine.live:
            raise Busy("the server is shutting down" if self.closed else "no worker is up")
        if len(self._waiting) >= self.max_queue and engine.depth >= self.max_queue:  # those that run are no part of the queue
            raise Busy(f"{engine.depth} requests wait already", self.retry_after_s())

    def retry_after_s(self) -> int:
        """In how many whole seconds, at least one, the live workers would have run all that waits, on the fastest subnet."""
        engine = self._engine
        return max(1, -(-engine.depth * engine.least_plan_ns // (engine.largest * max(1, engine.live) * NS_PER_S)))

    def cancel(self, id: int) -> None:
        """The client of a request has gone: it gives its place in the queue back; a batch that runs is not stopped."""
        if (waiting := self._waiting.get(id)) is None:
            return
        waiting.gone = True
        if self._engine.cancel(id):
            self._end(waiting.request, self._now_ns(), FAILED)

    def replan(self, engine: Engine, max_queue: int) -> None:
        """Decide as another engine does from now on, which has had no events; who waits for what that one cannot do is told so."""
        self.max_queue = max_queue
        other, now_ns = engine.profile is not self._engine.profile, self._now_ns()
        for request in self._engine.replan(engine):
            self._disown(self._waiting[request.id], now_ns)
        if other and self._guard is not None:
            self._watch_drift(now_ns)
            for worker in range(len(self._links)):
                self._rescale(worker, AS_PLANNED)
        self._wakes_ns = NEVER
        self._expire()
        self._decide(now_ns)

    def _disown(self, waiting: Waiting, now_ns: int) -> None:
        """Nobody can serve a request any more since the server plans anew."""
        self._end(waiting.request, now_ns, FAILED)
        waiting.reply.refused(Invalid("the server does not serve any more what this request needs"))

    def _watch_drift(self, now_ns: int) -> None:
        """Compare the workers with the engine's profile, which they have kept to until they show that they do not."""
        self._guard, self._guarded_since_ns = DriftGuard(self._engine.profile, len(self._links), self._rescale), now_ns
        self.metrics.cells = self._guard.cells

    # what workers do

    def restored(self, worker: int) -> None:
        """A worker is warm and idle."""
        self.metrics.workers.restored(worker)
        self._engine.restore(worker)
        self._decide(self._now_ns())

    def free(self, worker: int) -> None:
        """A worker may be given its next batch before it answers its last."""
        self._engine.free(worker)
        self._decide(self._now_ns())

    def done(self, worker: int, logits: NDArray[np.float32], compute_ns: int, actuation_ns: int | None = None) -> None:
        """A batch is ready: the worker gets its next one before the clients get their answers, and those are before who is too late."""
        now_ns = self._now_ns()
        running = self._running[worker].popleft()
        logits = logits.copy()  # the next batch will overwrite it
        self.metrics.handover.observe((now_ns - running.start_ns - compute_ns) / NS_PER_S)
        if actuation_ns is not None:
            self.metrics.actuation.observe(actuation_ns / NS_PER_S)
        self._engine.complete(worker)
        if self._guard is not None and running.start_ns >= self._guarded_since_ns:
            step = running.dispatch
            self._guard.observe(worker, step.subnet, step.batch_size, compute_ns, now_ns)
        self._hand_over(now_ns)
        self._answer(running, logits, compute_ns, now_ns)
        self._looked_ns = self._now_ns()
        self.overhead.observe(self._looked_ns - running.start_ns - compute_ns)
        if self._late:
            self._tell_late()

    def lost(self, worker: int, reason: str = "ended") -> None:
        """A worker is gone: its batches wait again, for its return if it was the last one.

        When that has failed as well, nobody need wait any longer.
        """
        self.metrics.workers.lost(worker, reason)
        batches, self._running[worker] = self._running[worker], deque()
        was_down = not self._engine.live
        self._engine.lose(worker)
        for running in batches:
            for waiting in running.waiting:
                self._again(waiting)
        if was_down:
            self.fail_all()
        self._expire()

    def _again(self, waiting: Waiting) -> None:
        """A request was lost with its worker: it waits again, if anybody waits for it, there is time, and it is not to blame."""
        id = waiting.request.id
        waiting.losses += 1
        if not self._engine.waits(id):  # what it ran on is served no more
            self._disown(waiting, self._now_ns())
        elif waiting.gone:
            self.cancel(id)
        elif waiting.losses >= MOST_LOSSES:
            self._give_up(waiting, FAILED, Failed(f"{MOST_LOSSES} workers were lost while they ran it"))
        elif self._engine.hopeless(id, self._now_ns() + self.overhead.ns):
            self._give_up(waiting, DROPPED, TooLate("dropped: its worker was lost, and the deadline could not be met any more"))

    def _give_up(self, waiting: Waiting, status: int, refusal: Refusal) -> None:
        """Whoever waits in the queue is told at once."""
        if self._engine.cancel(waiting.request.id):
            self._end(waiting.request, self._now_ns(), status)
            waiting.reply.refused(refusal)

    def _rescale(self, worker: int, thousandths: int) -> None:
        self.metrics.workers.scale[worker] = thousandths / AS_PLANNED
        self._engine.scale(worker, thousandths)

    # what follows from either

    def _look(self, now_ns: int) -> int:
        """Workers that are done get their next batches, however much the event loop has still to do before it comes to them; the time.

        Nobody is asked whose batch should take as long again.
        """
        for worker, running in enumerate(self._running):
            if running and 2 * (now_ns - running[0].start_ns) >= running[0].dispatch.plan_ns:
                self._links[worker].look()
        self._looked_ns = now_ns = self._now_ns()
        return now_ns

    def _decide(self, now_ns: int) -> None:
        """Hand over what can be, and only then tell those who are too late."""
        self._hand_over(now_ns)
        if self._late:
            self._tell_late()

    def _hand_over(self, now_ns: int) -> None:
        engine, ran, dropped = self._engine, False, False
        while engine.idle:
            begun = time.perf_counter_ns()  # for the metric alone: no decision sees it
            step = engine.decide(now_ns + self.overhead.ns)
            if step is None:
                break
            self.metrics.decision.observe((time.perf_counter_ns() - begun) / NS_PER_S)
            if isinstance(step, Dispatch):
                self._dispatch(step, now_ns)
                ran = True
            elif isinstance(step, Drop):
                if self._guard is not None:
                    self._guard.doubt(now_ns)
                self._drop(step, now_ns)
                dropped = True
            else:
                if step.until_ns < NEVER:
                    self._wait(step.until_ns - self.overhead.ns, now_ns)
                break
        if dropped and not ran:
            self.overhead.fade()

    def _dispatch(self, step: Dispatch, now_ns: int) -> None:
        worker, subnet, _, batch_size, requests, plan_ns = step
        waiting = [self._waiting[request.id] for request in requests]
        self._links[worker].start(subnet, [one.rows for one in waiting], plan_ns)
        self._running[worker].append(new(Running, (step, waiting, now_ns, self._now_ns() - now_ns)))
        metrics = self.metrics
        metrics.dispatches[subnet, batch_size] += 1
        metrics.slack.observe((requests[0].deadline_ns - now_ns) / NS_PER_S)
        metrics.queue.observe_all([(now_ns - request.arrival_ns) / NS_PER_S for request in requests])

    def _wait(self, until_ns: int, now_ns: int) -> None:
        """Decide again at that time, unless that is planned for this time or an earlier one already."""
        if until_ns < self._wakes_ns:
            self._wakes_ns = until_ns
            self._call_later(max(0, until_ns - now_ns), self._wake)

    def _wake(self) -> None:
        self._wakes_ns = NEVER
        self._decide(self._now_ns())

    def _expire_at(self, at_ns: int, now_ns: int) -> None:
        """Look then for requests that nothing can help, unless that is planned for this time or an earlier one already."""
        at_ns -= self._surely_ns
        if at_ns < self._expires_ns:
            self._expires_ns = at_ns
            self._call_later(max(0, at_ns - now_ns), self._expire)

    @property
    def _surely_ns(self) -> int:
        """The overhead that every later decision will see at least: the measured one may shrink."""
        return min(self.overhead.ns, LEAST_NS)

    def _expire(self) -> None:
        """Tell those at once whom every later decision would drop."""
        now_ns = self._now_ns()
        self._expires_ns = NEVER
        while (step := self._engine.expire(now_ns + self._surely_ns)) is not None:
            self._drop(step, now_ns)
        self._expire_at(self._engine.next_expiry_ns(), now_ns)
        self._decide(now_ns)

    def _drop(self, step: Drop, now_ns: int) -> None:
        """Telling is what takes long: it is for when no worker waits."""
        self._late.append(self._waiting[step.request.id].reply)
        self._end(step.request, now_ns, DROPPED)

    def _tell_late(self) -> None:
        if self._telling:
            return
        self._telling = True
        try:
            while self._late:
                self._late.popleft().refused(TooLate("dropped: the deadline could not be met"))
                if (now_ns := self._now_ns()) - self._looked_ns > LOOK_NS:
                    self._look(now_ns)
        finally:
            self._telling = False

    def _answer(self, running: Running, logits: NDArray[np.float32], compute_ns: int, now_ns: int) -> None:
        step, start_ns = running.dispatch, running.start_ns
        self.metrics.compute.observe(compute_ns / NS_PER_S)
        self.metrics.profile_error.observe(compute_ns / step.plan_ns)
        self._count(running, compute_ns, now_ns)
        self.metrics.workers.ran(step.worker, start_ns, now_ns)
        self._served(running, now_ns)
        at, (_, subnet, accuracy, batch_size, _, _) = 0, step
        for one in running.waiting:
            _, arrival_ns, deadline_ns, _, size, _ = one.request
            rows = logits[at : at + size]
            at += size
            answer = (rows, subnet, accuracy, batch_size, start_ns - arrival_ns, compute_ns, now_ns <= deadline_ns)
            one.reply.answered(new(Answer, answer))

    def _count(self, running: Running, compute_ns: int, now_ns: int) -> None:
        requests, start_ns, input_ns = running.dispatch.requests, running.start_ns, running.input_ns
        queue_ns = len(requests) * start_ns - sum([request.arrival_ns for request in requests])
        output_ns = max(0, now_ns - start_ns - input_ns - compute_ns)
        counts = self.statistics.of(running.dispatch.subnet)
        counts.ran(len(requests), running.dispatch.batch_size, queue_ns, input_ns, compute_ns, output_ns, now_ns)

    def _served(self, running: Running, now_ns: int) -> None:
        """Settle with the requests of a batch that is ready: once for all of them, where that will do."""
        step, met, held = running.dispatch, 0, 0
        for request in step.requests:
            held += self._waiting.pop(request.id).rows.nbytes
            met += now_ns <= request.deadline_ns
            if self._ledger is not None:
                self._ledger.served(request, running.start_ns, now_ns, step.subnet, step.batch_size, step.worker)
        self._room.give(held)
        self.metrics.requests[MET] += met
        self.metrics.requests[LATE] += len(step.requests) - met
        if step.accuracy is not None:
            self.metrics.accuracy.observe_all([step.accuracy] * len(step.requests))

    def fail_all(self) -> None:
        """Everybody who still waits in the queue is told that nobody will come."""
        for waiting in list(self._waiting.values()):
            self._give_up(waiting, FAILED, Failed("no worker is up, and none has come back"))

    def _end(self, request: Request, now_ns: int, status: int) -> None:
        if (waiting := self._waiting.pop(request.id, None)) is not None:
            self._room.give(waiting.rows.nbytes)
        self.metrics.requests[status] += 1
        self.statistics.failed(request.subnet or "", now_ns - request.arrival_ns)
        if self._ledger is not None:
            self._ledger.ended(request, now_ns, status)
