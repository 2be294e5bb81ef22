"""Simulate the cells of one trace: a worker process makes the trace once and serves it under every policy and rule."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from superserve_cli import policies, profiles, traces
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.engine.simulator import Fault, simulate
from superserve_cli.profiles import Profile
from superserve_cli.reports import metrics
from superserve_cli.studies.bounds import utility_bound
from superserve_cli.studies.reproduction.cells import Cell
from superserve_cli.studies.reproduction.experiments import AZURE, Workload
from superserve_cli.studies.utilisation import capacity_qps, rate_factor, slo_ns
from superserve_cli.traces import Trace

SUSTAINED = 0.999
HALVINGS = 12
"""Of the range in which the largest sustained rate lies: 1/4096 of the capacity is as close as it gets."""
PARTS = 20
"""The first and the last of so many parts of a run are compared."""


@dataclass(frozen=True)
class Job:
    """Cells that share a trace: `pending` names policy, late rule and service rule of each."""

    experiment: str
    workload: Workload
    search: bool
    profile: str
    seed: int
    azure: str
    pending: tuple[tuple[str, str, str], ...]

    @property
    def cost(self) -> float:
        """About how many requests it simulates."""
        return self.workload.seconds * sum(self.workload.rates.values()) * len(self.pending)


def work(job: Job) -> list[Cell]:
    """The cells of a job."""
    profile = profiles.load(job.profile).served()
    if job.search:
        return [_sustained(job, profile, *rules) for rules in job.pending]
    trace = make_trace(job.workload, rate_factor(profile), job.seed, job.azure)
    services = {service for _, _, service in job.pending}
    bounds = {s: utility_bound(trace, profile, workers=job.workload.workers, slo_ns=slo_ns(profile), service=s) for s in services}
    return [_cell(job, profile, trace, bounds[rules[2]], *rules) for rules in job.pending]


def make_trace(workload: Workload, factor: float, seed: int, azure: str) -> Trace:
    """The arrivals of a workload with its rates multiplied by `factor`."""
    options: dict[str, Any] = {name: rate * factor for name, rate in workload.rates.items()} | dict(workload.shape)
    acceleration = options.pop("acceleration", None)
    source = azure if workload.source == AZURE else workload.source
    spec = source if acceleration is None else f"{source}:{acceleration}"
    made = traces.load(spec, duration_s=workload.seconds, seed=seed, **options)
    return made if workload.rows == 1 else replace(made, size=np.full(len(made), workload.rows, np.int32))


def _cell(job: Job, profile: Profile, trace: Trace, bound: float | None, policy: str, late: str, service: str) -> Cell:
    workload, began = job.workload, time.perf_counter()
    outcomes = simulate(
        trace,
        profile,
        policies.named(policy),
        workers=workload.workers,
        slo_ns=slo_ns(profile),
        late=late,
        service=service,
        seed=job.seed,
        faults=_losses(workload),
    )
    return Cell(
        experiment=job.experiment,
        workload=workload.label,
        profile=job.profile,
        service=service,
        late=late,
        policy=policy,
        seed=job.seed,
        workers=workload.workers,
        offered_qps=workload.rows * len(trace) * NS_PER_S / trace.duration_ns,
        slo_ms=slo_ns(profile) / NS_PER_MS,
        requests=len(trace),
        attainment=metrics.attainment(outcomes) or 0.0,
        accuracy=metrics.accuracy(outcomes),
        utility=metrics.utility(outcomes),
        bound=bound,
        **_parts(outcomes, profile, trace.duration_ns),
        wall_s=time.perf_counter() - began,
    )


def _parts(outcomes: Outcomes, profile: Profile, duration_ns: int) -> Mapping[str, float | None]:
    """The accuracy at either end of the run, and how much of it the most accurate subnet answered."""
    met = metrics.met(outcomes)
    first, last = np.searchsorted(outcomes.arrival_ns, (duration_ns // PARTS, duration_ns - duration_ns // PARTS))
    best = max(range(len(profile.subnets)), key=lambda i: profile.accuracies[i] or 0.0)
    return {
        "accuracy_first": _mean(outcomes.accuracy[:first][met[:first]]),
        "accuracy_last": _mean(outcomes.accuracy[last:][met[last:]]),
        "top_share": _mean((outcomes.subnet[met] == best).astype(np.float64)),
    }


def _mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float | None:
    return float(values.mean()) if len(values) else None


def _losses(workload: Workload) -> list[Fault]:
    step = workload.seconds * NS_PER_S / (workload.losses + 1)
    return [(round(step * k), workload.workers - k, False) for k in range(1, workload.losses + 1)]


def _sustained(job: Job, profile: Profile, policy: str, late: str, service: str) -> Cell:
    """The cell at the largest rate that keeps the attainment, by bisection."""
    low, high, best = 0.0, 1.1 * capacity_qps(profile, job.workload.workers), None
    for _ in range(HALVINGS):
        rate = (low + high) / 2
        at = replace(job.workload, rates={"qps": rate / job.workload.rows})
        cell = _cell(job, profile, make_trace(at, 1.0, job.seed, job.azure), None, policy, late, service)
        if cell.attainment >= SUSTAINED:
            low, best = rate, cell
        else:
            high = rate
    return best or replace(cell, offered_qps=0.0)
