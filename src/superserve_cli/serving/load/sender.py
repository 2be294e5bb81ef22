"""What one process does: its part of the schedule, from the first connection to the last answer."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import process_time_ns
from typing import Final

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, NS_PER_US
from superserve_cli.serving.load.answers import Broken
from superserve_cli.serving.load.inputs import Draw
from superserve_cli.serving.load.ledger import Ledger, Page
from superserve_cli.serving.load.pace import Clock, idle_lag_ns, pace
from superserve_cli.serving.load.place import Access
from superserve_cli.serving.load.pool import Pool
from superserve_cli.serving.load.questions import HttpQuestions, Questions
from superserve_cli.serving.load.rpc_questions import RpcQuestions
from superserve_cli.serving.load.target import Target
from superserve_cli.serving.load.wire import OK, Buffer
from superserve_cli.traces.trace import Trace

WARM: Final = 16
GLANCE_NS: Final = NS_PER_S // 2
"""Telling how far we are takes milliseconds, in which nothing is sent."""
LINGER_NS: Final = 20 * NS_PER_MS
SPARE_NS: Final = 100 * NS_PER_US
"""How far we are is told when nothing is due for so long."""
MOST_UNREAD: Final = 1 << 26
"""When the unread answers take so many bytes, the oldest are read during the run."""
UNREAD_BYTES: Final = 200
"""Of each, beside its body."""
WENT: Final = "the target went away"

Tell = Callable[[int, int], None]
"""Called now and then with how many requests have ended, and how many of them in time."""


@dataclass(frozen=True)
class Part:
    """What one process sends, and how."""

    target: Target
    access: Access
    trace: Trace
    slo_ns: int
    draw: Draw
    connections: int
    grace_s: float

    def every(self, first: int, step: int) -> "Part":
        """Every so many-th request of it, on its share of the connections."""
        ids, trace = slice(first, None, step), self.trace
        deadlines = trace.deadlines_ns(self.slo_ns)
        own = Trace(trace.arrival_ns[ids], slo_ns=(deadlines - trace.arrival_ns)[ids])
        return replace(self, trace=own, draw=self.draw.part(ids), connections=max(1, self.connections // step))


@dataclass(frozen=True)
class Sent:
    """What came of a part; `cpu_ns` is what it cost this process, with the reading of the answers."""

    page: Page
    gone: bool
    waited: int
    opened: int
    cpu_ns: int


class _Gone(Exception):
    """The target refuses every connection, and has for a while."""


class Sender:
    """Sends a part of a trace, and keeps the book of it.

    When an answer came is noted at once; what it says is read after the run, because reading takes from the target's machine what it
    takes to serve, if that is this one.
    """

    def __init__(self, part: Part) -> None:
        target = part.target
        self.ledger = Ledger(part.trace, part.slo_ns)
        self.pool = Pool(target, part.access, part.connections, self)
        self._clock = Clock.started()
        asks_rpc = target.place.rpc
        self._questions: Questions = RpcQuestions(target, part.draw) if asks_rpc else HttpQuestions(target, part.access.headers, part.draw)
        self._grace_ns = int(part.grace_s * NS_PER_S)
        self._unread: deque[tuple[int, int, int, bytes, int | None]] = deque()
        self._unread_bytes = self._unread_met = 0
        self._tell: Tell = lambda ended, met: None
        self._glance_ns = 0

    def prepare(self) -> int:
        """Open the first connections; how late this process's idle timers are (p99, ns)."""
        idle_ns = idle_lag_ns(self.pool.turn)
        self.pool.warm_up(WARM)
        return idle_ns

    def run(self, clock: Clock, tell: Tell) -> Sent:
        """All of it, until everything is answered, too late to be, or the target has gone."""
        self._clock, self._tell = clock, tell
        begun_ns = process_time_ns()
        try:
            tell(0, 0)
            pace(self.ledger.arrivals_ns, clock, self.pool.submit, self._turn)
            self._linger()
            reason = f"no answer within {self._grace_ns / NS_PER_S:g} s of the last deadline"
        except _Gone:
            reason = WENT
        finally:
            self.pool.close()
        ended_ns = clock.now_ns()
        while self._unread:
            self._read()
        self.ledger.close(ended_ns, reason)
        return Sent(self.ledger.page(), self.pool.gone, self.pool.waited, self.pool.opened, process_time_ns() - begun_ns)

    def compose(self, id: int) -> Sequence[Buffer]:
        """Called by the pool."""
        left_ns = self.ledger.sent(id, self._clock.now_ns())
        return self._questions.message(id, max(1, left_ns // 1000))  # the protocol's 0 would mean that there is no deadline

    def answered(self, id: int, status: int, body: bytes, json_bytes: int | None) -> None:
        """Called by the pool."""
        now_ns = self._clock.now_ns()
        self._unread.append((id, now_ns, status, body, json_bytes))
        self._unread_bytes += len(body) + UNREAD_BYTES
        self._unread_met += status == OK and now_ns <= self.ledger.deadlines_ns[id]

    def lost(self, id: int, reason: str) -> None:
        """Called by the pool."""
        self.ledger.failed(id, self._clock.now_ns(), reason)

    def _turn(self, patience_ns: int) -> None:
        """Tell how far we are, when there is time for that; else do what the sockets are ready for."""
        if patience_ns > SPARE_NS and (now_ns := self._clock.now_ns()) >= self._glance_ns:
            self._tell(self._ended, self.ledger.met + self._unread_met)
            self._glance_ns = now_ns + GLANCE_NS
            return
        self.pool.turn(min(patience_ns, GLANCE_NS))
        if self.pool.gone:
            raise _Gone
        while self._unread_bytes > MOST_UNREAD:
            self._read()

    @property
    def _ended(self) -> int:
        return self.ledger.ended + len(self._unread)

    def _linger(self) -> None:
        """Everything has been sent; now patience."""
        ledger = self.ledger
        last_ns = max(ledger.deadlines_ns, default=0) + self._grace_ns
        while self._ended < len(ledger.arrivals_ns) and self._clock.now_ns() < last_ns:
            self._turn(LINGER_NS)

    def _read(self) -> None:
        id, now_ns, status, body, json_bytes = self._unread.popleft()
        self._unread_bytes -= len(body) + UNREAD_BYTES
        self._unread_met -= status == OK and now_ns <= self.ledger.deadlines_ns[id]
        if status != OK:
            self.ledger.refused(id, now_ns, status, "" if status == 504 else self._questions.complaint(status, body))
            return
        try:
            self.ledger.answered(id, now_ns, self._questions.answer(id, body, json_bytes))
        except Broken as error:
            self.ledger.failed(id, now_ns, str(error))
