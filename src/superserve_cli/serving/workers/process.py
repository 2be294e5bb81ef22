"""A worker in a process of its own, as its router sees it: started, watched, restarted."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import SuperserveError
from superserve_cli.serving.links import Listener
from superserve_cli.serving.model import Hello
from superserve_cli.serving.workers.messages import DONE, JOB, MOST_BYTES, READY, Area, Complaint, Order, Plan, decode_hello

log = logging.getLogger("superserve.worker")

FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
PATIENCE_S: Final = 5.0
"""How long a process may take to end by itself before it is killed."""
REAP_STEP_S: Final = 0.01
HUNG_S: Final = 60.0
STDERR: Final = 2


class ProcessWorker:
    """One worker process. A process that ends is started again, later after each failure, and brought to where the last one was.

    One that keeps a batch for longer than `hung_s` seconds is ended.
    """

    def __init__(self, index: int, order: Order, hung_s: float = HUNG_S) -> None:
        self._index = index
        self._order = order
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[Hello] = self._loop.create_future()
        self._warm: asyncio.Future[None] = self._loop.create_future()
        self._plan: Plan | None = None
        self._listener: Listener | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._memory = os.memfd_create(f"superserve_{os.getpid()}_{index}")
        self._area: Area | None = None
        self._subnets: dict[Subnet, int] = {}
        self._backoff_s = FIRST_BACKOFF_S
        self._hung_s = hung_s
        self._busy_since: float | None = None
        self._up = self._was_warm = self._stopped = False
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
        """Have it warm up and wait until it has."""
        self._plan = plan
        os.ftruncate(self._memory, plan.area_bytes)
        self._area = Area(self._memory, plan)
        self._subnets = {subnet: i for i, subnet in enumerate(plan.subnets)}
        self._send(plan.encode())
        await self._warm

    def report_to(self, listener: Listener) -> None:
        """From now on the worker serves: whoever listens hears that it is there."""
        self._listener = listener
        self._watch()
        if self._up:
            listener.restored(self._index)

    # what the router does

    def start(self, subnet: Subnet, batch: Sequence[NDArray[Any]], plan_ns: int) -> None:
        """Copy the rows into the shared area and have them run."""
        assert self._area is not None
        at = 0
        for rows in batch:
            self._area.inputs[at : at + len(rows)] = rows
            at += len(rows)
        self._busy_since = self._loop.time()
        self._send(JOB.pack(self._subnets[subnet], at))

    def stop(self) -> None:
        """End the process: it leaves when it sees the socket closed, and is killed when it does not."""
        if self._stopped:
            return
        self._stopped = True
        self._hang_up()
        os.close(self._memory)
        if self._process is None:
            return
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # what happens

    def _spawn(self) -> None:
        if self._stopped:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            command = [sys.executable, "-P", "-m", "superserve_cli.serving.workers.child", str(theirs.fileno()), str(self._memory)]
            # a group of its own: Ctrl-C is for the router, which first answers what is queued; its stdout is data
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(), self._memory), stdout=STDERR, process_group=0)
        self._control = ours
        self._loop.add_reader(ours, self._readable)
        self._send(self._order.encode())

    def _send(self, message: bytes) -> None:
        if self._control is None:
            return
        with suppress(BrokenPipeError, ConnectionResetError):  # the reader sees it too, and deals with it as an event of its own
            self._control.send(message)

    def _readable(self) -> None:
        assert self._control is not None
        try:
            message = self._control.recv(MOST_BYTES)
        except ConnectionResetError:
            message = b""
        if not message:
            self._died()
        elif self._up:
            self._done(message)
        elif message == READY:
            self._ready()
        else:
            self._said(decode_hello(message))

    def _done(self, message: bytes) -> None:
        assert self._area is not None
        assert self._listener is not None
        self._busy_since = None
        _, compute_ns = DONE.unpack(message)
        self._listener.done(self._index, self._area.logits, compute_ns)

    def _said(self, hello: Hello | Complaint) -> None:
        if isinstance(hello, Complaint):
            if self._was_warm:
                log.error("event=worker_complains worker=%d complaint=%s", self._index, hello.message)
            self._fail(SuperserveError(hello.message, hello.hint))
        elif not self._hello.done():
            self._hello.set_result(hello)
        elif self._plan is not None:
            self._send(self._plan.encode())

    def _ready(self) -> None:
        self._up = self._was_warm = True
        self._backoff_s = FIRST_BACKOFF_S
        if not self._warm.done():
            self._warm.set_result(None)
        if self._listener is not None:
            log.warning("event=worker_restored worker=%d pid=%d", self._index, self.pid)
            self._listener.restored(self._index)

    def _fail(self, error: SuperserveError) -> None:
        for future in (self._hello, self._warm):
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: the first that waits raises it, the other need not be waited for

    def _died(self) -> None:
        was_up, self._up = self._up, False
        self._busy_since = None
        self._hang_up()
        if was_up and self._listener is not None:
            self._listener.lost(self._index)
        self._reap(self._loop.time() + PATIENCE_S)

    def _reap(self, until: float) -> None:
        """Wait for the end of a process that has closed its socket, without blocking the loop; then try again with a new one."""
        if self._stopped or self._process is None:
            return
        if self._process.poll() is None and self._loop.time() < until:
            self._loop.call_later(REAP_STEP_S, self._reap, until)
            return
        self._process.kill()
        code = self._process.wait()
        early = SuperserveError(f"worker {self._index} ended with code {code} before it was ready", hint="its own output above says why")
        self._fail(early)
        if self._was_warm:
            log.warning("event=worker_lost worker=%d exit_code=%d restart_in_s=%g", self._index, code, self._backoff_s)
            self._loop.call_later(self._backoff_s, self._spawn)
            self._backoff_s = min(2 * self._backoff_s, LONGEST_BACKOFF_S)

    def _watch(self) -> None:
        if self._stopped:
            return
        if self._busy_since is not None and self._loop.time() - self._busy_since > self._hung_s and self._process is not None:
            log.error("event=worker_hung worker=%d pid=%d after_s=%g", self._index, self._process.pid, self._hung_s)
            self._process.kill()
        self._loop.call_later(self._hung_s / 4, self._watch)

    def _hang_up(self) -> None:
        if self._control is not None:
            self._loop.remove_reader(self._control)
            self._control.close()
            self._control = None
