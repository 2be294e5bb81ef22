"""A worker in a process of its own, as its router sees it: started, watched, restarted."""

import asyncio
import logging
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S, Subnet
from superserve_cli.errors import BadOption, SuperserveError
from superserve_cli.serving.links import Listener
from superserve_cli.serving.logs import Event
from superserve_cli.serving.model import Hello
from superserve_cli.serving.workers import ring
from superserve_cli.serving.workers.backoff import Backoff
from superserve_cli.serving.workers.launch import launch
from superserve_cli.serving.workers.messages import MOST_BYTES, READY, Complaint, Malformed, Order, Plan, decode_hello
from superserve_cli.serving.workers.ring import Slot
from superserve_cli.serving.workers.turns import JOB, NEVER, REPORT, RouterTurns
from superserve_cli.serving.workers.watch import Watch

log = logging.getLogger("superserve.worker")

PATIENCE_S: Final = 5.0
"""How long a process may take to end by itself before it is killed."""
REAP_STEP_S: Final = 0.01
HUNG_PLANS: Final = 10
LEAST_HUNG_NS: Final = 3 * NS_PER_S
"""A batch that takes longer than ten times its plan, and than three seconds, does not come any more: a
restart would take about as long, and a crowded machine can stop a process for one."""
LEAST_START_S: Final = 60.0
START_TIMES: Final = 10
"""A restart that takes longer than ten times the first start, and than a minute, hangs."""


class ProcessWorker:
    """One worker process. A process that ends is started again, later after each failure, and brought to where the last one was.

    It is ended when it keeps a batch for longer than `hung_ns` (by default ten times what is planned, and three seconds), when a restart
    takes longer than `start_s` (by default ten times the first start, and a minute), and when it sends what it must not.
    """

    def __init__(self, index: int, order: Order, hung_ns: int | None = None, start_s: float | None = None) -> None:
        self._index = index
        self._order = order
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[Hello] = self._loop.create_future()
        self._warm: asyncio.Future[None] = self._loop.create_future()
        self._plan: Plan | None = None
        self._listener: Listener | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._memory = ring.create(index)
        self._slots: list[Slot] = []
        self._turns = RouterTurns(1)
        self._subnets: dict[Subnet, int] = {}
        self._backoff = Backoff()
        self._hung_ns = hung_ns
        self._start_s = start_s
        self._hung = Watch(self._look)
        self._stuck = Watch(lambda: self._end("stuck"))
        self._since_s = self._first_start_s = 0.0
        self._known = self._up = self._was_warm = self._stopped = False
        self.begun_ns = 0
        """When the inference of the batch that was answered last began, by the machine's monotonic clock."""
        self._spawn()

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process else None

    # its beginning, in this order

    async def introduced(self) -> Hello:
        """What the worker says of itself once it has loaded; raises the SuperserveError that it ran into."""
        return await self._hello

    async def warmed(self, plan: Plan) -> None:
        """Have it warm up and wait until it has; raises the SuperserveError that it ran into."""
        self._plan = plan = replace(plan, slots=self._hello.result().slots)
        if len(plan.encode()) > MOST_BYTES:
            raise BadOption(f"{len(plan.subnets)} subnets are more than a worker can be told of", hint="serve fewer: --subnets ID,ID,...")
        ring.allot(self._memory, plan)
        self._slots = ring.attach(self._memory, plan)
        self._subnets = {subnet: i for i, subnet in enumerate(plan.subnets)}
        self._send(plan.encode())
        await self._warm

    def report_to(self, listener: Listener) -> None:
        """From now on the worker serves: whoever listens hears that it is there."""
        self._listener = listener
        if self._up:
            listener.restored(self._index)

    # what the router does

    def start(self, subnet: Subnet, batch: Sequence[NDArray[Any]], plan_ns: int) -> None:
        """Copy the rows into the next slot and have them run."""
        if not self._up:
            return
        now_ns = time.monotonic_ns()
        inputs, at = self._slots[self._turns.slot].inputs, 0
        for rows in batch:
            end = at + len(rows)
            inputs[at:end] = rows
            at = end
        bound_ns = max(LEAST_HUNG_NS, HUNG_PLANS * plan_ns) if self._hung_ns is None else self._hung_ns
        self._send(JOB.pack(*self._turns.hand(self._subnets[subnet], at, now_ns, bound_ns)))
        self._hung.wait(self._turns.due_ns - now_ns)

    def look(self) -> None:
        """Report what has been said; nothing if nothing was."""
        self._readable()

    def leave(self) -> None:
        """Hear no more of the process, which ends when it sees the socket closed."""
        self._stopped, self._up = True, False
        self._hang_up()

    def stop(self) -> None:
        """End the process: it leaves when it sees the socket closed, and is killed when it does not."""
        self._let_go()
        if self._process is None:
            return
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # one that a device holds on to ends when the device lets go
                self._process.wait(PATIENCE_S)

    async def ended(self) -> None:
        """End the process as `stop` does, while the loop goes on."""
        self._let_go()
        until_s = self._loop.time() + PATIENCE_S
        while self._process is not None and self._process.poll() is None and self._loop.time() < until_s + PATIENCE_S:
            if self._loop.time() >= until_s:
                self._process.kill()
            await asyncio.sleep(REAP_STEP_S)

    def _let_go(self) -> None:
        self.leave()
        self._slots, self._listener = [], None  # nothing that holds this worker is held by it: it goes as soon as they let go
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    # a life

    def _spawn(self) -> None:
        if self._stopped:
            return
        try:
            self._process, self._control = launch(self._memory)
        except OSError as error:  # no memory, no more processes or files: they may come back
            if not self._was_warm:
                raise
            if self._listener is not None:
                self._listener.lost(self._index, "unstartable")
            self._retry("unstartable", str(error), 0.0)
            return
        self._loop.add_reader(self._control, self._readable)
        self._since_s, self._known = self._loop.time(), False
        if self._was_warm:
            limit_s = max(LEAST_START_S, START_TIMES * self._first_start_s) if self._start_s is None else self._start_s
            self._stuck.wait(round(limit_s * NS_PER_S))
        self._send(self._order.encode())

    def _send(self, message: bytes) -> None:
        if self._control is None:
            return
        try:  # noqa: SIM105 - `suppress` takes as long as the rest of a hand-over's bookkeeping
            self._control.send(message)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader sees it too, and deals with it as an event of its own

    def _readable(self) -> None:
        if self._control is None:
            return
        try:
            message = self._control.recv(REPORT.size + 1 if self._up else MOST_BYTES + 1)
        except BlockingIOError:
            return
        except ConnectionResetError:
            message = b""
        if not message:
            self._end("exited")
            return
        try:
            self._hear(message)
        except Malformed as error:
            log.error(Event("worker_malformed", worker=self._index, pid=self.pid, message=str(error)))
            self._end("malformed")

    def _hear(self, message: bytes) -> None:
        if self._up:
            self._report(message)
        elif message == READY and self._known and self._plan is not None:
            self._ready()
        else:
            self._said(decode_hello(message))

    def _report(self, message: bytes) -> None:
        done = self._turns.read(message, time.monotonic_ns())
        if self._listener is None:
            return
        if done is None:
            self._listener.free(self._index)
        else:
            self.begun_ns = done.begun_ns
            self._listener.done(self._index, self._slots[done.slot].logits[: done.rows], done.took_ns, done.actuation_ns)

    def _said(self, hello: Hello | Complaint) -> None:
        if isinstance(hello, Complaint):
            if self._was_warm:
                log.error(Event("worker_complains", worker=self._index, complaint=hello.message))
            self._fail(SuperserveError(hello.message, hello.hint))
        elif self._known:
            raise Malformed("a second hello")
        else:
            self._known = True
            self._introduce(hello)

    def _introduce(self, hello: Hello) -> None:
        if not self._hello.done():
            self._hello.set_result(hello)
        elif self._plan is None or (hello.model, hello.slots) != (self._hello.result().model, self._plan.slots):
            raise Malformed(f"a hello of another model: {hello.model}")
        else:
            self._send(self._plan.encode())

    def _ready(self) -> None:
        assert self._plan is not None
        now_s = self._loop.time()
        self._stuck.calm()
        if not self._was_warm:
            self._first_start_s = now_s - self._since_s
        self._turns = RouterTurns(self._plan.slots)
        self._up = self._was_warm = True
        self._since_s = now_s
        if not self._warm.done():
            self._warm.set_result(None)
        if self._listener is not None:
            log.warning(Event("worker_restored", worker=self._index, pid=self.pid))
            self._listener.restored(self._index)

    # its end

    def _look(self) -> None:
        """Has the oldest batch its answer? Its report may have come while the loop was busy."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._turns.due_ns:
            self._readable()
        if not self._up or (due_ns := self._turns.due_ns) == NEVER:
            return
        if now_ns < due_ns:
            self._hung.wait(due_ns - now_ns)
            return
        log.error(Event("worker_hung", worker=self._index, pid=self.pid))
        self._end("hung")

    def _end(self, reason: str) -> None:
        """A life is over: whoever listens hears of it at once, even when the process takes its time to end."""
        served_s = self._loop.time() - self._since_s if self._up else 0.0
        self._up = False
        self._hang_up()
        assert self._process is not None
        if reason != "exited":
            self._process.kill()
        if self._was_warm and self._listener is not None:
            self._listener.lost(self._index, reason)
        self._reap(reason, served_s, self._loop.time() + PATIENCE_S)

    def _reap(self, reason: str, served_s: float, kill_s: float) -> None:
        """Wait for the end of the process without blocking the loop; then try again with a new one."""
        if self._stopped or self._process is None:
            return
        if (code := self._process.poll()) is None:
            if self._loop.time() >= kill_s:
                self._process.kill()
            self._loop.call_later(REAP_STEP_S, self._reap, reason, served_s, kill_s)
            return
        if self._was_warm:
            self._retry(reason, f"exit code {code}", served_s)
        else:
            how = "ended" if reason == "exited" else f"was ended ({reason})"
            early = f"worker {self._index} {how} with code {code} before it was ready"
            self._fail(SuperserveError(early, hint="its own output above says why"))

    def _retry(self, reason: str, more: str, served_s: float) -> None:
        """Start a new process, later after each failure."""
        delay_s = self._backoff.lost(served_s)
        level, event = (logging.ERROR, "worker_crash_loop") if self._backoff.loops else (logging.WARNING, "worker_lost")
        said = {"worker": self._index, "reason": reason, "detail": more, "failures": self._backoff.failures, "restart_in_s": delay_s}
        log.log(level, Event(event, **said))
        self._loop.call_later(delay_s, self._spawn)

    def _fail(self, error: SuperserveError) -> None:
        for future in (self._hello, self._warm):
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: the first that waits raises it, the other need not be waited for

    def _hang_up(self) -> None:
        self._hung.calm()
        self._stuck.calm()
        if self._control is not None:
            self._loop.remove_reader(self._control)
            self._control.close()
            self._control = None
