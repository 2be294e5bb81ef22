"""How well virtual time foretells the live server: one trace, served by processes and simulated, at loads where not everything is met.

Simulated is what the profile of this machine says, measured in the same run, and three numbers that no profile knows: what it takes to
hand a batch over and back, which keeps the worker waiting; how much slower a worker is beside a busy router; and what the wire takes
before and after, which only the client sees. They are measured beside each run, at its load, with other arrivals: a machine that is
shared is not as fast now as it was some minutes ago. How fast it was in the very run is told to a second simulation.

The worker, also while it is profiled, has a core to itself: what two processes take from each other on one core is no matter of
scheduling requests. Router and load generator share the others.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from superserve_cli import profiles
from superserve_cli.bench import sleeping_server
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.nets import enlarged
from superserve_cli.bench.serve import processes
from superserve_cli.bench.serve.foretold import (
    LATE,
    NOTHING,
    POLICY,
    Overheads,
    Seen,
    beside,
    capacity,
    compared,
    foretold,
    seen_in,
    slowdown,
)
from superserve_cli.bench.sleeping_server import Sleepers
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, Progress
from superserve_cli.profiles import Profile
from superserve_cli.reports import metrics
from superserve_cli.serving import load
from superserve_cli.supernet import save
from superserve_cli.traces import Trace
from superserve_cli.traces import load as trace

LOADS: Final = (0.7, 1.0, 1.2)
"""Relative to what one worker sustains on its fastest subnet in its best batch."""
ARRIVALS: Final = "bursty"
SUPERNET: Final = "supernet"
PROFILE: Final = "profile.parquet"
SIDE: Final = 128
"""Of the images: a batch then takes many milliseconds, and what router and load generator do for it, which is not simulated, is little."""
SUBNETS: Final = 6
BATCH_SIZES: Final = "1,2,4,8,16"
THREADS: Final = 1
SLOS: Final = 3.0
"""The SLO in largest batches: so long that a pause of the machine of a millisecond is not what decides."""
LEAST_SLO_NS: Final = 30 * NS_PER_MS
QUIET_LOAD: Final = 0.02
"""At which requests meet nobody: what they take besides inference is hand-over and wire."""
WORKER: Final = "worker"
SLEEPER: Final = "sleeper"


@dataclass(frozen=True)
class Effort:
    """How much is measured: seconds per run, runs per load, rounds of the profile, simulated runs."""

    run_s: float = 10.0
    runs: int = 5
    calibration_s: float = 5.0
    rounds: int = 100
    seeds: int = 25


QUICK: Final = Effort(run_s=2.0, runs=1, calibration_s=1.0, rounds=20, seeds=5)


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
        others, own_core = cores()
        with on_cores({own_core}):
            profile = measured(folder, effort)
        open_.enter_context(on_cores(others))
        slo_ns = max(LEAST_SLO_NS, round(SLOS * max(map(max, profile.plan))))
        servers = [open_.enter_context(_started(name, folder, slo_ns, own_core)) for name in (WORKER, SLEEPER)]
        progress(0, 1, "calibration")
        wires = {server.name: wire_of(server, profile, slo_ns, effort) for server in servers}
        offered = {at: trace(ARRIVALS, qps=at * capacity(profile), duration_s=effort.run_s, seed=0) for at in LOADS}
        live = _live(servers, offered, profile, slo_ns, effort, progress)
    figures = [Figure("fidelity_slo_ms", f"fidelity: SLO, {SLOS:g} largest batches", slo_ns / NS_PER_MS, "ms")]
    for (name, at), rounds in live.items():
        known = overheads([handed for handed, _ in rounds], wires[name])
        seen = [run for _, run in rounds]
        simulated = [foretold(offered[at], profile, slo_ns, known, seed) for seed in range(effort.seeds)]
        told = [(known._replace(slowdown=run.slowdown), seed) for run in seen for seed in range(effort.seeds // effort.runs)]
        as_fast = [foretold(offered[at], profile, slo_ns, like, seed) for like, seed in told]
        alone = [foretold(offered[at], profile, slo_ns, NOTHING, seed) for seed in range(effort.seeds)]
        figures += [*compared(name, at, seen, simulated, as_fast, alone), *beside(name, at, known, seen)]
    return figures


def measured(folder: Path, effort: Effort) -> Profile:
    """A profile of a SuperNet, which is saved in the folder too, of this machine and of now."""
    save(folder / SUPERNET, enlarged(SIDE))
    out = folder / PROFILE
    asked = ("--subnets", SUBNETS, "--batch-sizes", BATCH_SIZES, "--threads", THREADS, "--rounds", effort.rounds)
    processes.run("profile", folder / SUPERNET, *asked, "--out", out)
    return profiles.load(str(out)).served()


def cores() -> tuple[set[int], int]:
    """The cores of router and load generator, and the worker's; the same one where there is only one."""
    *others, own = sorted(os.sched_getaffinity(0))
    return set(others or [own]), own


@contextmanager
def on_cores(chosen: set[int]) -> Iterator[None]:
    """Run there alone, with all processes that are started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _started(name: str, folder: Path, slo_ns: int, own_core: int) -> Iterator[Server]:
    """A server in a process of its own, with one worker in another, on a core of its own."""
    port = processes.free_port()
    url = f"http://127.0.0.1:{port}"
    model = SLEEPER if name == SLEEPER else str(profiles.load(str(folder / PROFILE)).metadata["supernet"])
    with processes.running(_command(name, folder, slo_ns, port), url, folder / f"{name}.log", model=model) as server:
        server.move_children({own_core})
        yield Server(name, url, model)


def _command(name: str, folder: Path, slo_ns: int, port: int) -> list[str]:
    profile = folder / PROFILE
    if name == SLEEPER:
        asked = Sleepers(1, str(profile), slo_ns / NS_PER_MS, port=port, shape=(1, SIDE, SIDE), seed=0, drift_guard=False)
        return [sys.executable, sleeping_server.__file__, json.dumps(asdict(asked))]
    rules = ("--policy", POLICY, "--late", LATE, "--slo-ms", slo_ns / NS_PER_MS, "--threads", THREADS)
    quiet = ("--no-drift-guard", "--no-grpc", "--quiet")  # the simulator has no guard
    return processes.superserve("serve", folder / SUPERNET, "--profile", profile, *rules, "--port", port, *quiet)


class Handed(NamedTuple):
    """What a run at some rate shows: the mean latency less inference, the mean hand-over, and inference over what was profiled."""

    around_ns: float
    handover_ns: float
    slowdown: float


def wire_of(server: Server, profile: Profile, slo_ns: int, effort: Effort) -> int:
    """What lonely requests take beside inference and their own hand-over, in ns."""
    alone = _handed(server, trace("poisson", qps=QUIET_LOAD * capacity(profile), duration_s=effort.calibration_s, seed=1), profile, slo_ns)
    return max(0, round(alone.around_ns - alone.handover_ns))


def overheads(handed: Sequence[Handed], wire_ns: int) -> Overheads:
    """Medians of what was seen beside the runs of one server at one load."""
    return Overheads(round(median(one.handover_ns for one in handed)), wire_ns, median(one.slowdown for one in handed))


def _handed(server: Server, offered: Trace, profile: Profile, slo_ns: int) -> Handed:
    parts = [f"superserve_handover_seconds_{part}" for part in ("sum", "count")]
    before = np.array([processes.metric(server.url, part) for part in parts])
    outcomes = load.replay(server.url, offered, slo_ns, model=server.model).outcomes
    total_s, batches = np.array([processes.metric(server.url, part) for part in parts]) - before
    around = (outcomes.start_ns - outcomes.arrival_ns - outcomes.lag_ns)[metrics.answered(outcomes)]
    return Handed(float(around.mean()), total_s / batches * NS_PER_S, slowdown(outcomes, profile))


def _live(
    servers: Sequence[Server], offered: dict[float, Trace], profile: Profile, slo_ns: int, effort: Effort, progress: Progress
) -> dict[tuple[str, float], list[tuple[Handed, Seen]]]:
    """Every server at every load, in rounds, each time with what other arrivals showed just before."""
    work = [(server, at, number) for number in range(effort.runs) for at in offered for server in servers]
    seen: dict[tuple[str, float], list[tuple[Handed, Seen]]] = {(server.name, at): [] for server in servers for at in offered}
    for done, (server, at, number) in enumerate(work):
        progress(done, len(work), f"{server.name} at {at:g} of capacity")
        others = trace(ARRIVALS, qps=at * capacity(profile), duration_s=effort.calibration_s, seed=1 + number)
        handed = _handed(server, others, profile, slo_ns)
        outcomes = load.replay(server.url, offered[at], slo_ns, model=server.model).outcomes
        run = seen_in(outcomes, metrics.attainment(outcomes) or 0.0)._replace(slowdown=slowdown(outcomes, profile))
        seen[server.name, at].append((handed, run))
    progress(len(work), len(work), "")
    return seen
