"""What happened to every request, as it happens, and what follows from it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.core.outcomes import DROPPED, FAILED, LATE, MET, NEVER, REJECTED, Outcomes
from superserve_cli.serving.load.answers import Answer
from superserve_cli.traces.trace import Trace

LAG_FLOOR_NS: Final = 5 * NS_PER_MS
LAG_SHARE: Final = 0.1
FAILED_SHARE: Final = 0.01
UNKNOWN: Final = -1


@dataclass(frozen=True)
class Page:
    """What one of several processes has written down; `columns` in the order of COLUMNS."""

    columns: tuple[NDArray[Any], ...]
    subnets: tuple[str, ...]
    refusals: Counter[str]
    failures: Counter[str]


COLUMNS: Final = ("_sent_ns", "_start_ns", "_finish_ns", "_ended_ns", "_status", "_accuracy", "_batch_size", "_correct")


class Ledger:
    """One line per request, all times on the generator's own clock, since the trace's origin."""

    def __init__(self, trace: Trace, slo_ns: int) -> None:
        n = len(trace)
        self.arrivals_ns: list[int] = trace.arrival_ns.tolist()
        self.deadlines_ns: list[int] = trace.deadlines_ns(slo_ns).tolist()
        self.ended = 0
        self.met = 0
        self.refusals: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._trace = trace
        self._sent_ns = np.full(n, NEVER, np.int64)
        self._start_ns = np.full(n, NEVER, np.int64)
        self._finish_ns = np.full(n, NEVER, np.int64)
        self._ended_ns = np.full(n, NEVER, np.int64)
        self._status = np.full(n, FAILED, np.int8)
        self._subnets: dict[str, int] = {}
        self._subnet = np.full(n, -1, np.int32)
        self._accuracy = np.full(n, np.nan)
        self._batch_size = np.full(n, -1, np.int32)
        self._correct = np.full(n, UNKNOWN, np.int8)

    def sent(self, id: int, now_ns: int) -> int:
        """A request goes out; what is left of its SLO, in ns."""
        self._sent_ns[id] = now_ns
        return self.deadlines_ns[id] - now_ns

    def answered(self, id: int, now_ns: int, answer: Answer) -> None:
        """An inference came back: met or late."""
        self._end(id, now_ns, MET if now_ns <= self.deadlines_ns[id] else LATE)
        self._finish_ns[id] = now_ns
        if answer.compute_ns >= 0:
            self._start_ns[id] = now_ns - answer.compute_ns
        if answer.subnet is not None:
            self._subnet[id] = self._subnets.setdefault(answer.subnet, len(self._subnets))
        self._accuracy[id] = answer.accuracy
        self._batch_size[id] = answer.batch_size
        if answer.correct is not None:
            self._correct[id] = answer.correct

    def refused(self, id: int, now_ns: int, status: int, complaint: str) -> None:
        """An answer without an inference: 504 is a drop, 503 and what blames the request a rejection, all else a failure."""
        if status == 504:
            self._end(id, now_ns, DROPPED)
        elif status == 503 or 400 <= status < 500:
            self._end(id, now_ns, REJECTED)
            self.refusals[complaint] += 1
        else:
            self.failed(id, now_ns, complaint)

    def failed(self, id: int, now_ns: int, reason: str) -> None:
        """No answer, or one that cannot be read."""
        self._end(id, now_ns, FAILED)
        self.failures[reason] += 1

    def close(self, now_ns: int, reason: str) -> None:
        """The run is over: what is still open has failed."""
        for id in np.flatnonzero(self._ended_ns == NEVER).tolist():
            self.failed(id, max(now_ns, self.arrivals_ns[id]), reason)

    def page(self) -> Page:
        """All that was written down, `subnet` the last of the columns."""
        return Page((*(getattr(self, name) for name in COLUMNS), self._subnet), tuple(self._subnets), self.refusals, self.failures)

    def enter(self, ids: slice, page: Page) -> None:
        """What another process wrote down of these requests."""
        *columns, subnet = page.columns
        for name, column in zip(COLUMNS, columns, strict=True):
            getattr(self, name)[ids] = column
        numbers = np.array([self._subnets.setdefault(name, len(self._subnets)) for name in page.subnets] + [-1], np.int32)
        self._subnet[ids] = numbers[subnet]
        self.refusals += page.refusals
        self.failures += page.failures
        self.ended += int((columns[COLUMNS.index("_ended_ns")] != NEVER).sum())
        self.met += int((columns[COLUMNS.index("_status")] == MET).sum())

    def _end(self, id: int, now_ns: int, status: int) -> None:
        self._ended_ns[id] = now_ns
        self._status[id] = status
        self.ended += 1
        self.met += status == MET

    def lag_ns(self) -> NDArray[np.int64]:
        """Sent - intended; for a request that never went out, as long as it waited in vain."""
        return np.where(self._sent_ns == NEVER, self._ended_ns, self._sent_ns) - self._trace.arrival_ns

    def lag_p99_ns(self) -> int:
        """The 99th percentile of the lag."""
        return int(np.percentile(self.lag_ns(), 99)) if self.arrivals_ns else 0

    def problems(self, idle_lag_ns: int, waited: int) -> list[str]:
        """Which rules of a valid run were broken, one line each."""
        shortest_ns = min((d - a for d, a in zip(self.deadlines_ns, self.arrivals_ns, strict=True)), default=0)
        allowed_ns = max(LAG_FLOOR_NS, LAG_SHARE * shortest_ns)
        found = []
        if (lag_ns := self.lag_p99_ns()) > allowed_ns:
            why = f"all connections were busy {waited} times" if waited else f"its timers alone: {idle_lag_ns / NS_PER_MS:.1f} ms"
            found.append(f"requests went out late: lag p99 {lag_ns / NS_PER_MS:.1f} ms, allowed {allowed_ns / NS_PER_MS:.1f} ms ({why})")
        if self.failures.total() > FAILED_SHARE * len(self.arrivals_ns):
            reason, times = self.failures.most_common(1)[0]
            found.append(f"{self.failures.total()} of {len(self.arrivals_ns)} requests failed ({times} of them: {reason})")
        return found

    def outcomes(self) -> Outcomes:
        """The columns of `outcomes.parquet`."""
        return Outcomes(
            id=np.arange(len(self.arrivals_ns)),
            arrival_ns=self._trace.arrival_ns,
            deadline_ns=np.asarray(self.deadlines_ns, np.int64),
            start_ns=self._start_ns,
            finish_ns=self._finish_ns,
            ended_ns=self._ended_ns,
            subnets=tuple(self._subnets),
            subnet=self._subnet,
            accuracy=self._accuracy,
            batch_size=self._batch_size,
            worker=np.full(len(self.arrivals_ns), -1, np.int32),
            status=self._status,
            lag_ns=self.lag_ns(),
            extra=self._extra(),
        )

    def _extra(self) -> dict[str, pa.Array]:
        trace = self._trace
        columns = {
            "tenant": trace.tenant,
            "min_accuracy": None if trace.min_accuracy is None else pa.array(trace.min_accuracy, mask=trace.min_accuracy <= 0),
            "size": None if trace.size is None else pa.array(trace.size),
            "correct": pa.array(self._correct == 1, mask=self._correct == UNKNOWN) if (self._correct != UNKNOWN).any() else None,
        }
        return {name: column for name, column in columns.items() if column is not None}
