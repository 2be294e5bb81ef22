"""What `/metrics` says of each worker: whether it is up, how often it was lost and why, what it did."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from superserve_cli.core.nouns import NS_PER_S

AS_PLANNED: Final = 1.0


class WorkerMetrics:
    """Counts by worker since the server started; a worker is known once it has been up.

    A loss is a life that ended, or one that failed before it was warm; a restart is a life that began after a loss.
    """

    def __init__(self) -> None:
        self.up: dict[int, bool] = {}
        self.restarts: Counter[int] = Counter()
        self.losses: Counter[tuple[int, str]] = Counter()
        self.last_reason: dict[int, str] = {}
        self.batches: Counter[int] = Counter()
        self.busy_ns: Counter[int] = Counter()
        self.scale: dict[int, float] = {}
        self._free_ns: dict[int, int] = {}

    def restored(self, worker: int) -> None:
        """A worker is up, for the first time or again."""
        self.restarts[worker] += worker in self.up and not self.up[worker]
        self.up[worker] = True

    def lost(self, worker: int, reason: str) -> None:
        """A worker is gone, or has failed to come back."""
        self.up[worker] = False
        self.losses[worker, reason] += 1
        self.last_reason[worker] = reason

    def ran(self, worker: int, start_ns: int, end_ns: int) -> None:
        """A worker had a batch from its hand-over to its answer; what overlaps with the batch before counts once."""
        self.batches[worker] += 1
        self.busy_ns[worker] += end_ns - max(start_ns, self._free_ns.get(worker, start_ns))
        self._free_ns[worker] = end_ns

    def keep(self, workers: int) -> None:
        """There are only so many from now on."""
        for worker in [worker for worker in self.up if worker >= workers]:
            del self.up[worker]

    def families(self) -> Iterator[Metric]:
        """In Prometheus' form."""
        workers = sorted(self.up)
        by_worker = ["worker"]
        up = GaugeMetricFamily("superserve_worker_up", "Whether a worker is warm and serves", labels=by_worker)
        restarts = CounterMetricFamily("superserve_worker_restarts", "Returns of a worker that was lost", labels=by_worker)
        losses = CounterMetricFamily("superserve_worker_losses", "Ends of a worker, failed restarts too", labels=["worker", "reason"])
        last = GaugeMetricFamily("superserve_worker_last_loss", "1 at the reason of a worker's last loss", labels=["worker", "reason"])
        batches = CounterMetricFamily("superserve_worker_batches", "Batches that a worker has answered", labels=by_worker)
        busy = CounterMetricFamily("superserve_worker_busy_seconds", "Time in which a worker had a batch", labels=by_worker)
        scale = GaugeMetricFamily("superserve_plan_scale", "What planning multiplies a worker's latencies by", labels=by_worker)
        for worker in workers:
            label = [str(worker)]
            up.add_metric(label, self.up[worker])
            restarts.add_metric(label, self.restarts[worker])
            batches.add_metric(label, self.batches[worker])
            busy.add_metric(label, self.busy_ns[worker] / NS_PER_S)
            scale.add_metric(label, self.scale.get(worker, AS_PLANNED))
        for (worker, reason), count in sorted(self.losses.items()):
            losses.add_metric([str(worker), reason], count)
            last.add_metric([str(worker), reason], reason == self.last_reason[worker])
        yield from (up, restarts, losses, last, batches, busy, scale)
