"""How many requests a server meets within the SLO: the highest rate at which nearly all are met, by steps that are the same for all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.reports import metrics
from superserve_cli.serving import load
from superserve_cli.studies.capacity.threshold import largest
from superserve_cli.tasks import Split
from superserve_cli.traces import load as trace

LOWEST_QPS: Final = 50.0
STEP: Final = 1.1
RUNGS: Final = 68
"""The highest is 30,000 requests/s."""
STRIDE: Final = 4
ENOUGH: Final = 0.99
TRIES: Final = 2
"""A rung that fails is tried once more: a pause of a shared machine is not the server's."""
GRACE_S: Final = 1.0
WARM_QPS: Final = 50.0
WARM_S: Final = 1.0


def rate(rung: int) -> float:
    """Requests per second of a rung."""
    return LOWEST_QPS * STEP**rung


def rung_at_least(qps: float) -> int:
    """The first rung with at least so many requests per second."""
    return next((rung for rung in range(RUNGS) if rate(rung) >= qps), RUNGS - 1)


class Tried(NamedTuple):
    """What became of a rate: `accuracy` is the share of right answers, `cpu_us` the server's CPU time per request that was sent."""

    qps: float
    attainment: float
    met_per_s: float
    accuracy: float
    p99_ms: float | None
    lag_p99_ms: float
    problems: list[str]
    cpu_us: float = 0.0

    @property
    def holds(self) -> bool:
        """Nearly all were met, by the load generator's clock and from when they were due: what it sends late can only be met less."""
        return self.attainment >= ENOUGH


NOTHING: Final = Tried(0.0, 0.0, 0.0, 0.0, None, 0.0, [])
"""Where not even the lowest rate holds."""


@dataclass(frozen=True)
class Load:
    """What is sent: Poisson arrivals of `duration_s`, labelled inputs, all due after `slo_ns`."""

    samples: Split
    slo_ns: int
    duration_s: float

    def warm(self, url: str, model: str) -> None:
        """What nobody counts."""
        load.replay(url, trace("poisson", qps=WARM_QPS, duration_s=WARM_S, seed=0), self.slo_ns, self.samples, model=model, grace_s=GRACE_S)

    def at(self, qps: float, seed: int, url: str, model: str, cpu_s: Callable[[], float]) -> Tried:
        """Try a rate; `cpu_s` tells the CPU time that the server has used so far."""
        arrived = trace("poisson", qps=qps, duration_s=self.duration_s, seed=seed)
        used_s = -cpu_s()
        run = load.replay(url, arrived, self.slo_ns, self.samples, model=model, grace_s=GRACE_S)
        used_s += cpu_s()
        p99 = metrics.latency_ms(run.outcomes, [99])[0]
        accuracy = (metrics.measured_accuracy(run.outcomes) or (0.0, 0.0))[0]
        share = metrics.attainment(run.outcomes) or 0.0
        cpu_us = used_s / max(1, len(arrived)) * 1e6
        return Tried(qps, share, share * len(arrived) / self.duration_s, accuracy, p99, run.lag_p99_ns / NS_PER_MS, run.problems, cpu_us)


@dataclass
class Search:
    """The search for one server's rate, over the rounds: each begins where the last one ended."""

    found: list[Tried] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    start: int = field(default_factory=lambda: rung_at_least(500))

    def round(self, attempt: Callable[[float], Tried]) -> None:
        """One search; `attempt` tries a rate."""
        held: dict[int, Tried] = {}
        stride = STRIDE if not self.found else 1
        rung = largest(lambda at: self._holds(at, attempt, held), 0, RUNGS - 1, self.start, stride)
        self.found.append(NOTHING if rung is None else held[rung])
        self.start = rung or 0

    def _holds(self, rung: int, attempt: Callable[[float], Tried], held: dict[int, Tried]) -> bool:
        for tried in self._tries(rung, attempt):
            if tried.holds:
                held[rung] = tried
                return True
        return False

    def _tries(self, rung: int, attempt: Callable[[float], Tried]) -> Iterator[Tried]:
        for _ in range(TRIES):
            tried = attempt(rate(rung))
            self.tried.append(tried)
            yield tried

    def as_json(self) -> list[dict[str, Any]]:
        """All that was tried, in order."""
        return [tried._asdict() for tried in self.tried]
