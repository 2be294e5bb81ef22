"""How well virtual time foretells the live server: one trace, served by processes and simulated, at loads where not everything is met.

Simulated is what the profile of this machine says, measured in the same run, and three numbers that no profile knows: what it takes to
hand a batch over and back, which keeps the worker waiting; how much slower a worker is beside a busy router; and what the wire takes
before and after, which only the client sees. They are measured before, with arrivals of their own.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from superserve_cli import policies, profiles
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.nets import enlarged
from superserve_cli.bench.serve import processes
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, NS_PER_US, Progress
from superserve_cli.core.outcomes import MET, Outcomes
from superserve_cli.engine.simulator import simulate
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.reports import metrics
from superserve_cli.serving import load
from superserve_cli.supernet import save
from superserve_cli.traces import Trace
from superserve_cli.traces import load as trace

LOADS: Final = (0.7, 1.0, 1.2)
"""Relative to what one worker sustains on its fastest subnet in its best batch."""
POLICY: Final = "slackfit"
LATE: Final = "shed"
ARRIVALS: Final = "bursty"
SUPERNET: Final = "supernet"
PROFILE: Final = "profile.parquet"
SIDE: Final = 64
"""Of the images: on a CPU a batch then takes milliseconds, and router and load generator, which are not simulated, a small part of that."""
SUBNETS: Final = 6
BATCH_SIZES: Final = "1,2,4,8,16"
THREADS: Final = 1
SLOS: Final = 3.0
"""The SLO in largest batches: so long that a pause of the machine of a millisecond is not what decides."""
LEAST_SLO_NS: Final = 30 * NS_PER_MS
QUIET_LOAD: Final = 0.02
"""At which requests meet nobody: what they take besides inference is hand-over and wire."""
BUSY_LOAD: Final = 1.0
"""The more a router has to do, the longer a worker that is done waits for it."""
WORKER: Final = "worker"
SLEEPER: Final = "sleeper"
TARGET: Final = 1.0
HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Effort:
    """How much is measured: seconds per run, runs per load, rounds of the profile, simulated runs."""

    run_s: float = 10.0
    runs: int = 5
    calibration_s: float = 5.0
    rounds: int = 100
    seeds: int = 25


QUICK: Final = Effort(run_s=2.0, runs=1, calibration_s=1.0, rounds=20, seeds=5)


class Seen(NamedTuple):
    """One run, live or simulated: `mix` is the share of the requests that ran on each subnet."""

    attainment: float
    accuracy: float
    mix: dict[str, float]
    slowdown: float = 1.0


class Overheads(NamedTuple):
    """What no profile knows."""

    handover_ns: int = 0
    wire_ns: int = 0
    slowdown: float = 1.0


NOTHING: Final = Overheads()


@dataclass(frozen=True)
class Server:
    """One that runs; `model` is what its model is called."""

    name: str
    url: str
    model: str


def fidelity(progress: Progress, quick: bool = False) -> list[Figure]:
    """Attainment, accuracy and subnet mix, live and simulated: with a real worker, and with one that only takes the profiled time."""
    effort = QUICK if quick else Effort()
    with tempfile.TemporaryDirectory(prefix="bench_") as own, ExitStack() as open_:
        folder = Path(own)
        progress(0, 1, "profile")
        profile = measured(folder, effort)
        slo_ns = max(LEAST_SLO_NS, round(SLOS * max(map(max, profile.plan))))
        servers = [open_.enter_context(_started(name, folder, slo_ns)) for name in (WORKER, SLEEPER)]
        progress(0, 1, "calibration")
        overheads = {server.name: calibrated(server, profile, slo_ns, effort) for server in servers}
        offered = {at: trace(ARRIVALS, qps=at * capacity(profile), duration_s=effort.run_s, seed=0) for at in LOADS}
        live = _live(servers, offered, profile, slo_ns, effort, progress)
    figures = [Figure("fidelity_slo_ms", f"fidelity: SLO, {SLOS:g} largest batches", slo_ns / NS_PER_MS, "ms")]
    for server in servers:
        figures += _overheads(server.name, overheads[server.name], [seen for at in LOADS for seen in live[server.name, at]])
        for at in LOADS:
            simulated = [foretold(offered[at], profile, slo_ns, overheads[server.name], seed) for seed in range(effort.seeds)]
            alone = [foretold(offered[at], profile, slo_ns, NOTHING, seed) for seed in range(effort.seeds)]
            figures += _compared(server.name, at, live[server.name, at], simulated, alone)
    return figures


def measured(folder: Path, effort: Effort) -> Profile:
    """A profile of a SuperNet, which is saved in the folder too, of this machine and of now."""
    save(folder / SUPERNET, enlarged(SIDE))
    out = folder / PROFILE
    asked = ("--subnets", SUBNETS, "--batch-sizes", BATCH_SIZES, "--threads", THREADS, "--rounds", effort.rounds)
    processes.run("profile", folder / SUPERNET, *asked, "--out", out)
    return profiles.load(str(out)).served()


@contextmanager
def _started(name: str, folder: Path, slo_ns: int) -> Iterator[Server]:
    """A server in a process of its own, with one worker in another."""
    port = processes.free_port()
    url = f"http://127.0.0.1:{port}"
    model = SLEEPER if name == SLEEPER else str(profiles.load(str(folder / PROFILE)).metadata["supernet"])
    with processes.running(_command(name, folder, slo_ns, port), url, folder / f"{name}.log", model=model):
        yield Server(name, url, model)


def _command(name: str, folder: Path, slo_ns: int, port: int) -> list[str]:
    profile = folder / PROFILE
    if name == SLEEPER:
        return [sys.executable, *map(str, (HERE / "sleeping_server.py", profile, POLICY, LATE, slo_ns, port, 1, SIDE, SIDE))]
    rules = ("--policy", POLICY, "--late", LATE, "--slo-ms", slo_ns / NS_PER_MS, "--threads", THREADS)
    return processes.superserve("serve", folder / SUPERNET, "--profile", profile, *rules, "--port", port, "--no-grpc", "--quiet")


def mean_ns(profile: Profile) -> np.ndarray:
    """The mean time (subnets, batch sizes) of what is drawn from the quantiles of a profile."""
    quantiles = profile.quantiles_ns
    assert quantiles is not None
    levels = np.array([0.0, *LEVELS, 1.0])
    flat = np.concatenate((quantiles[..., :1], quantiles, quantiles[..., -1:]), axis=-1)
    return np.asarray(((flat[..., 1:] + flat[..., :-1]) / 2 * np.diff(levels)).sum(axis=-1))


def capacity(profile: Profile) -> float:
    """Requests per second that one worker sustains on its fastest subnet in its best batch."""
    return float((np.array(profile.batch_sizes) * NS_PER_S / mean_ns(profile)).max())


class Handed(NamedTuple):
    """What a run at some rate shows: the mean latency less inference, the mean hand-over, and inference over what was profiled."""

    around_ns: float
    handover_ns: float
    slowdown: float


def calibrated(server: Server, profile: Profile, slo_ns: int, effort: Effort) -> Overheads:
    """Hand-over and slow-down: at capacity. Wire: what lonely requests take beside inference and their own hand-over."""
    alone = _handed(server, QUIET_LOAD, profile, slo_ns, effort)
    busy = _handed(server, BUSY_LOAD, profile, slo_ns, effort)
    return Overheads(round(busy.handover_ns), max(0, round(alone.around_ns - alone.handover_ns)), busy.slowdown)


def _handed(server: Server, at: float, profile: Profile, slo_ns: int, effort: Effort) -> Handed:
    parts = [f"superserve_handover_seconds_{part}" for part in ("sum", "count")]
    before = np.array([processes.metric(server.url, part) for part in parts])
    arrived = trace("poisson", qps=at * capacity(profile), duration_s=effort.calibration_s, seed=1)
    outcomes = load.replay(server.url, arrived, slo_ns, model=server.model).outcomes
    total_s, batches = np.array([processes.metric(server.url, part) for part in parts]) - before
    around = (outcomes.start_ns - outcomes.arrival_ns - outcomes.lag_ns)[metrics.answered(outcomes)]
    return Handed(float(around.mean()), total_s / batches * NS_PER_S, _slowdown(outcomes, profile))


def _live(
    servers: Sequence[Server], offered: dict[float, Trace], profile: Profile, slo_ns: int, effort: Effort, progress: Progress
) -> dict[tuple[str, float], list[Seen]]:
    """Every server at every load, in rounds."""
    work = [(server, at) for _ in range(effort.runs) for at in offered for server in servers]
    seen: dict[tuple[str, float], list[Seen]] = {(server.name, at): [] for server, at in work}
    for done, (server, at) in enumerate(work):
        progress(done, len(work), f"{server.name} at {at:g} of capacity")
        outcomes = load.replay(server.url, offered[at], slo_ns, model=server.model).outcomes
        seen[server.name, at].append(_seen(outcomes, metrics.attainment(outcomes) or 0.0)._replace(slowdown=_slowdown(outcomes, profile)))
    progress(len(work), len(work), "")
    return seen


def foretold(offered: Trace, profile: Profile, slo_ns: int, overheads: Overheads, seed: int) -> Seen:
    """The same in virtual time. A batch keeps its worker for the hand-over as well, and planning knows that; the answer then travels."""
    outcomes = simulate(
        offered, real(profile, overheads), policies.named(POLICY), workers=1, slo_ns=slo_ns, late=LATE, service="measured", seed=seed
    )
    in_time = (outcomes.status == MET) & (outcomes.finish_ns + overheads.wire_ns <= outcomes.deadline_ns)
    return _seen(outcomes, float(np.mean(in_time)))


def real(profile: Profile, overheads: Overheads) -> Profile:
    """The profile of a worker that is slower than profiled, which planning does not know, and that is handed its batches, which it does."""
    handover_ns, quantiles = overheads.handover_ns, profile.quantiles_ns
    return replace(
        profile,
        plan=tuple(tuple(plan_ns + handover_ns for plan_ns in row) for row in profile.plan),
        quantiles_ns=None if quantiles is None else np.round(quantiles * overheads.slowdown).astype(np.int64) + handover_ns,
    )


def _seen(outcomes: Outcomes, attainment: float) -> Seen:
    return Seen(attainment, metrics.accuracy(outcomes) or 0.0, metrics.subnets(outcomes))


def _slowdown(outcomes: Outcomes, profile: Profile) -> float:
    """Time of inference over what the profile expects for the same batches, by request."""
    ran = metrics.answered(outcomes) & (outcomes.start_ns >= 0)
    row = np.array([profile.index(subnet) for subnet in outcomes.subnets])[outcomes.subnet[ran]]
    column = np.searchsorted(profile.batch_sizes, outcomes.batch_size[ran])
    return float((outcomes.finish_ns - outcomes.start_ns)[ran].sum() / mean_ns(profile)[row, column].sum())


def _overheads(name: str, found: Overheads, live: list[Seen]) -> list[Figure]:
    return [
        Figure(f"fidelity_{name}_handover_us", f"{name}: hand-over of a batch at capacity, mean", found.handover_ns / NS_PER_US, "us"),
        Figure(f"fidelity_{name}_wire_us", "... the wire and the router, of lonely requests", found.wire_ns / NS_PER_US, "us"),
        Figure(f"fidelity_{name}_service_ratio", "... inference while serving / in the profile", median(s.slowdown for s in live), "x"),
    ]


def _compared(name: str, at: float, live: list[Seen], simulated: list[Seen], alone: list[Seen]) -> list[Figure]:
    key = f"fidelity_{name}_{at:g}"
    met, told, bare = (100 * median(seen.attainment for seen in runs) for runs in (live, simulated, alone))
    right, said = (100 * median(seen.accuracy for seen in runs) for runs in (live, simulated))
    apart = 100 * median(distance(seen.mix, simulated[0].mix) for seen in live)
    return [
        Figure(f"{key}_gap", f"{name} at {at:g} of capacity: attainment, live and simulated apart", abs(met - told), "points", TARGET),
        Figure(f"{key}_attainment_live", f"... live, median of {len(live)}", met, "%"),
        Figure(f"{key}_attainment_simulated", f"... simulated, median of {len(simulated)}", told, "%"),
        Figure(f"{key}_attainment_profile", "... simulated from the profile alone", bare, "%"),
        Figure(f"{key}_accuracy_live", "... accuracy live", right, "%"),
        Figure(f"{key}_accuracy_simulated", "... accuracy simulated", said, "%"),
        Figure(f"{key}_mix", "... requests on other subnets than simulated", apart, "%"),
    ]


def distance(one: dict[str, float], other: dict[str, float]) -> float:
    """The share that two mixes do not have in common (total variation)."""
    return sum(abs(one.get(subnet, 0.0) - other.get(subnet, 0.0)) for subnet in one.keys() | other.keys()) / 2
