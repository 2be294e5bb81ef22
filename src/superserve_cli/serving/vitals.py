"""What `/metrics` says of the server beside its requests. Everything is looked at only when somebody scrapes."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from superserve_cli import __version__

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Vital:
    """How a server is just now; `pids` by worker, `swaps` by how they ended, `serving` says what."""

    connections: int
    oldest_s: float
    pending_bytes: int
    swaps: Mapping[str, int]
    pids: Sequence[int | None] = ()
    certificate_expires_s: float | None = None
    serving: Mapping[str, str] = field(default_factory=dict)


class Vitals(Collector):
    """The families of a server's Vital."""

    def __init__(self, look: Callable[[], Vital]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Every family, as Prometheus' registry asks for them."""
        now = self._look()
        yield InfoMetricFamily("superserve_build", "What runs", value={"version": __version__, "python": platform.python_version()})
        if now.serving:
            yield InfoMetricFamily("superserve_serving", "What is served, since the last swap", value=dict(now.serving))
        yield GaugeMetricFamily("superserve_queue_oldest_age_seconds", "Age of the request that has waited longest", value=now.oldest_s)
        yield GaugeMetricFamily("superserve_pending_bytes", "Bytes of the requests that arrive, wait or run", value=now.pending_bytes)
        yield GaugeMetricFamily("superserve_connections", "Open connections of HTTP clients", value=now.connections)
        swaps = CounterMetricFamily("superserve_swaps", "Swaps of policy, profile or SuperNet by how they ended", labels=["result"])
        for result, count in sorted(now.swaps.items()):
            swaps.add_metric([result], count)
        yield swaps
        if now.certificate_expires_s is not None:
            text = "When the TLS certificate ends, in seconds since 1970"
            yield GaugeMetricFamily("superserve_tls_certificate_expiry_timestamp_seconds", text, value=now.certificate_expires_s)
        yield from _workers(now.pids)


def _workers(pids: Sequence[int | None]) -> Iterator[Metric]:
    memory = GaugeMetricFamily("superserve_worker_resident_memory_bytes", "Resident memory of a worker process", labels=["worker"])
    cpu = CounterMetricFamily("superserve_worker_cpu_seconds", "CPU time of a worker process since its start", labels=["worker"])
    for worker, pid in enumerate(pids):
        if pid is not None and (taken := used(pid)) is not None:
            memory.add_metric([str(worker)], taken[0])
            cpu.add_metric([str(worker)], taken[1])
    yield memory
    yield cpu


def used(pid: int) -> tuple[int, float] | None:
    """(resident bytes, CPU seconds) of a process; None when it has just ended. Fields of /proc/PID/stat are counted in proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[21]) * PAGE_BYTES, (int(fields[11]) + int(fields[12])) / TICKS_PER_S
