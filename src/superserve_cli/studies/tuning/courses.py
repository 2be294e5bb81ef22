"""Traces to train a policy on, and others like them to validate it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from superserve_cli import traces
from superserve_cli.errors import BadOption
from superserve_cli.profiles import Profile
from superserve_cli.studies.tuning import grid
from superserve_cli.traces import Trace

DEFAULT_LOAD = 0.9


@dataclass(frozen=True)
class Course:
    """What was asked for: traces by name, the rates of those that have one (each at each), and which seeds.

    `loads` count in what the median subnet sustains on all workers, `qps` in requests per second; without either, a load of 0.9.
    """

    specs: Sequence[str]
    loads: Sequence[float] = ()
    qps: Sequence[float] = ()
    duration_s: float | None = None
    seed: int = 0
    seeds: int = 3

    def traces(self, profile: Profile, workers: int) -> tuple[tuple[Trace, ...], tuple[Trace, ...]]:
        """(to train on, to validate on): as many seeds each; of a file the first and the second half. Raises BadOption."""
        if self.loads and self.qps:
            raise BadOption("--load and --mean-qps both say how much load there is", hint="give one of them")
        if (self.loads or self.qps) and all(spec.startswith(("file:", "grid")) for spec in self.specs):
            raise BadOption("--load and --mean-qps cannot go with these traces: they have rates of their own", hint="leave them out")
        sustained = profile.sustained_qps(workers)
        rates = self.qps or [load * sustained for load in self.loads or [DEFAULT_LOAD]]
        train: list[Trace] = []
        validate: list[Trace] = []
        for spec in self.specs:
            if spec.startswith("file:"):
                first, second = halves(traces.load(spec, duration_s=self.duration_s))
                train, validate = [*train, first], [*validate, second]
            else:
                train += [t for s in range(self.seeds) for t in self._of(spec, profile, rates, self.seed + s)]
                validate += [t for s in range(self.seeds) for t in self._of(spec, profile, rates, self.seed + self.seeds + s)]
        return tuple(train), tuple(validate)

    def _of(self, spec: str, profile: Profile, rates: Sequence[float], seed: int) -> list[Trace]:
        name, _, times = spec.partition(":")
        if name == "grid":
            return grid.bursty(_times(spec, times) if times else grid.factor(profile), seed, self.duration_s)
        return [traces.load(spec, qps=rate, duration_s=self.duration_s, seed=seed) for rate in rates]


def halves(trace: Trace) -> tuple[Trace, Trace]:
    """The requests up to the middle of a trace's time, and the others as a trace of their own; raises BadOption where one is empty."""
    middle_ns = int(trace.arrival_ns[0] + trace.arrival_ns[-1]) // 2 if len(trace) else 0
    at = int((trace.arrival_ns <= middle_ns).sum())
    if not 0 < at < len(trace):
        raise BadOption(f"{trace.source} is too short to train on its first half and validate on its second", hint="give a longer trace")
    return _part(trace, slice(0, at)), _part(trace, slice(at, None))


def _part(trace: Trace, which: slice) -> Trace:
    def of(column: Any) -> Any:
        return None if column is None else column[which]

    return replace(
        trace,
        arrival_ns=trace.arrival_ns[which] - trace.arrival_ns[which][0],
        slo_ns=of(trace.slo_ns),
        min_accuracy=of(trace.min_accuracy),
        size=of(trace.size),
        tenant=of(trace.tenant),
        model=of(trace.model),
        metadata={},
    )


def _times(spec: str, times: str) -> float:
    try:
        factor = float(times)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise BadOption(f"{times!r} in {spec} is not a positive number", hint="write grid:X, as in grid:0.5 for half the paper's rates")
    return factor
