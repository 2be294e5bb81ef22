"""The last ten minutes of a server, a sample a second, for people who look at it (`/live`): taken from counters that are there anyway.

Counts in a sample are those of its second alone, so that they can be added up over any time.
"""

import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.serving.metrics import Metrics

KEPT: Final = 600
MS_PER_S: Final = 1000


@dataclass(frozen=True, slots=True)
class _Totals:
    """Counters since the server started, as they stood at one time."""

    now_ns: int
    ended: tuple[int, ...]
    pending: int
    accuracy: float
    answered: int
    rows: Mapping[str, int]
    waits: tuple[int, ...]
    compute_s: float
    batches: int
    busy_ns: Mapping[int, int]


class History:
    """A ring of samples, numbered from 1: whoever has seen some asks for those `since`."""

    def __init__(self, metrics: Metrics, kept: int = KEPT) -> None:
        self._metrics = metrics
        self._samples: deque[str] = deque(maxlen=kept)
        self._before: _Totals | None = None
        self.last = 0

    def sample(self, now_ns: int, unix_s: float) -> None:
        """Take one; the first call only begins the first second."""
        totals, before = _totals(self._metrics, now_ns), self._before
        self._before = totals
        if before is None or now_ns <= before.now_ns:
            return
        self.last += 1
        taken = {"number": self.last, "unix_s": round(unix_s, 3), **_between(before, totals, self._metrics)}
        self._samples.append(json.dumps(taken))

    def since(self, number: int) -> list[str]:
        """The samples after a number that are still kept, each as JSON."""
        new = min(max(0, self.last - number), len(self._samples))
        return list(islice(self._samples, len(self._samples) - new, None))


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """A quantile of counts by upper bound, interpolated within the bound it falls into as Prometheus' `histogram_quantile` does."""
    rank, below, lower = share * sum(counts), 0, 0.0
    if not rank:
        return None
    for upper, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below, lower = below + count, upper
    return lower


def _totals(metrics: Metrics, now_ns: int) -> _Totals:
    rows: Counter[str] = Counter()
    for (subnet, size), batches in metrics.dispatches.items():
        rows[subnet] += size * batches
    return _Totals(
        now_ns,
        tuple(metrics.requests),
        metrics.pending(),
        metrics.accuracy.total,
        metrics.accuracy.count,
        rows,
        metrics.queue.counts,
        metrics.compute.total,
        metrics.compute.count,
        dict(metrics.workers.busy_ns),
    )


def _between(before: _Totals, now: _Totals, metrics: Metrics) -> dict[str, Any]:
    """What has happened between two times, and how things stand at the second."""
    seconds = (now.now_ns - before.now_ns) / NS_PER_S
    ended = {outcome: new - old for outcome, new, old in zip(STATUSES, now.ended, before.ended, strict=True)}
    answered, batches = now.answered - before.answered, now.batches - before.batches
    waits = [new - old for new, old in zip(now.waits, before.waits, strict=True)]
    return {
        "seconds": round(seconds, 3),
        "arrived": max(0, sum(ended.values()) + now.pending - before.pending),
        **ended,
        "accuracy": round((now.accuracy - before.accuracy) / answered, 5) if answered else None,
        "depth": metrics.depth(),
        "oldest_ms": round(metrics.oldest_s() * MS_PER_S, 1),
        "rows": {subnet: new for subnet, count in now.rows.items() if (new := count - before.rows.get(subnet, 0))},
        "wait_p50_ms": _ms(quantile(metrics.queue.bounds, waits, 0.5)),
        "wait_p99_ms": _ms(quantile(metrics.queue.bounds, waits, 0.99)),
        "compute_ms": _ms((now.compute_s - before.compute_s) / batches) if batches else None,
        "up": metrics.live(),
        "busy": {worker: _busy(before, now, worker, seconds) for worker in sorted(metrics.workers.up)},
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * MS_PER_S, 2)


def _busy(before: _Totals, now: _Totals, worker: int, seconds: float) -> float:
    """A worker's share of the time; a batch counts when it ends, so one that is longer than a second would count as more than all."""
    busy_ns = now.busy_ns.get(worker, 0) - before.busy_ns.get(worker, 0)
    return round(min(1.0, max(0.0, busy_ns / NS_PER_S / seconds)), 3)
