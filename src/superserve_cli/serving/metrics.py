"""What `/metrics` says. Counting is a few additions; Prometheus' own objects are made only when somebody scrapes."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from superserve_cli.core.outcomes import STATUSES
from superserve_cli.serving.worker_metrics import WorkerMetrics

SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SLACK_SECONDS: Final = (0.0, *SECONDS)
HANDOVER_SECONDS: Final = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
ACTUATION_SECONDS: Final = (1e-7, 2e-7, 5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2)
DECISION_SECONDS: Final = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2)
ACCURACIES: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 1.0)
MOST_KEPT: Final = 1024
RATIOS: Final = (0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0)


class Histogram:
    """Counts of values at most each bound, and their sum.

    Values are kept as they come and sorted into their bounds many at a time, which costs a tenth of doing so one by one.
    """

    __slots__ = ("_bounds", "_counts", "_kept", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._kept: list[float] = []
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._kept.append(value)
        if len(self._kept) >= MOST_KEPT:
            self._sort()

    def observe_all(self, values: Sequence[float]) -> None:
        """Count some values."""
        self._kept += values
        if len(self._kept) >= MOST_KEPT:
            self._sort()

    def _sort(self) -> None:
        values = np.array(self._kept)
        self._kept.clear()
        self._total += float(values.sum())
        sorted_in = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._counts))
        self._counts = [count + more for count, more in zip(self._counts, sorted_in.tolist(), strict=True)]

    @property
    def total(self) -> float:
        """The sum of the values."""
        self._sort()
        return self._total

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds, of all counts but the last."""
        return self._bounds

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values were counted within each bound, and beyond the last."""
        self._sort()
        return tuple(self._counts)

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts) + len(self._kept)

    def family(self, name: str, text: str) -> Metric:
        """The histogram in Prometheus' form: cumulative counts by upper bound."""
        total = self.total
        bounds = [*map(str, self._bounds), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=total)


class Metrics(Collector):
    """The router's counts since it started."""

    def __init__(self) -> None:
        self.requests = [0] * len(STATUSES)
        self.dispatches: Counter[tuple[str, int]] = Counter()
        self.slack = Histogram(SLACK_SECONDS)
        self.queue = Histogram(SECONDS)
        self.compute = Histogram(SECONDS)
        self.handover = Histogram(HANDOVER_SECONDS)
        self.actuation = Histogram(ACTUATION_SECONDS)
        self.decision = Histogram(DECISION_SECONDS)
        self.accuracy = Histogram(ACCURACIES)
        self.profile_error = Histogram(RATIOS)
        self.workers = WorkerMetrics()
        self.cells: Mapping[tuple[str, int], float] = {}
        self.depth: Callable[[], int] = int
        self.live: Callable[[], int] = int
        self.pending: Callable[[], int] = int
        self.oldest_s: Callable[[], float] = float
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def exposition(self) -> bytes:
        """The text of `/metrics`."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Every family, as Prometheus' registry asks for them."""
        requests = CounterMetricFamily("superserve_requests", "Requests by what became of them", labels=["outcome"])
        for outcome, count in zip(STATUSES, self.requests, strict=True):
            requests.add_metric([outcome], count)
        dispatches = CounterMetricFamily("superserve_dispatch", "Batches by subnet and rows", labels=["subnet", "batch_size"])
        for (subnet, rows), count in sorted(self.dispatches.items()):
            dispatches.add_metric([subnet, str(rows)], count)
        yield requests
        yield dispatches
        yield self.slack.family("superserve_slack_seconds", "Time left to the most urgent request of a batch at its dispatch")
        yield self.queue.family("superserve_queue_seconds", "Time from arrival to dispatch, by request")
        yield self.compute.family("superserve_compute_seconds", "Time of inference, by batch")
        yield self.actuation.family(
            "superserve_actuation_seconds", "Time from a worker's receiving a batch to the choice of its subnet's program"
        )
        yield self.handover.family("superserve_handover_seconds", "Time to hand a batch to its worker and back, beside inference, by batch")
        yield self.decision.family("superserve_decision_seconds", "Time that a scheduling decision takes")
        yield self.accuracy.family("superserve_accuracy_served", "Profiled accuracy of the subnet that answered, by request")
        yield self.profile_error.family("superserve_profile_error_ratio", "Observed time of inference / planned latency, by batch")
        yield GaugeMetricFamily("superserve_queue_depth", "Requests that wait", value=self.depth())
        yield GaugeMetricFamily("superserve_pending_requests", "Requests that have no answer yet", value=self.pending())
        yield GaugeMetricFamily("superserve_live_workers", "Workers that are up", value=self.live())
        yield self._drift()
        yield from self.workers.families()

    def _drift(self) -> Metric:
        text = "Recent time of inference / expected latency (the profile's median, or its plan), by cell"
        family = GaugeMetricFamily("superserve_drift_ratio", text, labels=["subnet", "batch_size"])
        for (subnet, size), ratio in sorted(self.cells.items()):
            family.add_metric([subnet, str(size)], ratio)
        return family
