import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from numpy.typing import NDArray

from superserve_cli import policies, supernet, traces
from superserve_cli.bench.figure import Figure, machine
from superserve_cli.bench.headline import direct
from superserve_cli.bench.headline.net import ABOUT, images, paper_net
from superserve_cli.bench.headline.over_http import server
from superserve_cli.bench.in_place import Run, compare
from superserve_cli.core.nouns import NS_PER_S, Progress, Subnet, Worker, ms_to_ns
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.errors import BadFile
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile, subject
from superserve_cli.reports import metrics
from superserve_cli.serving import load, profiling
from superserve_cli.serving.workers import resident
from superserve_cli.serving.workers.graph_worker import GraphWorker
from superserve_cli.serving.workers.messages import Order
from superserve_cli.serving.workers.resident import Resident
from superserve_cli.studies.bounds import utility_bound
from superserve_cli.supernet.devices import device
from superserve_cli.traces import Trace

BATCH_SIZES: Final = (1, 2, 4, 8, 16)
SLO_MS: Final = 36.0
"""The paper's (section 6.2)."""
LOAD: Final = 0.8
"""Mean rate / what the smallest subnet sustains: where the paper's own load of bursts stands, as far as it can be told."""
PAPER_QPS: Final = 6400.0
"""The paper's mean rate, on eight GPUs; here on one."""
TRACES: Final = {"bursty": "bursty:8", "maf": "azure"}
DURATION_S: Final = 15.0
ROUNDS: Final = 200
COMPARED_ROUNDS: Final = 15
LATE: Final = "shed"
HEADLINE: Final = ("bursty_slackfit", "maf_slackfit")
MOST_MISSED: Final = 0.01
"""Percent: an attainment of 0.9999."""
STEPS: Final = 6
MB: Final = 1e6
MAKE: Final = "superserve_cli.serving.workers.resident:make"


@dataclass(frozen=True)
class Asked:
    """How much to measure, and where; the profile stays in `out`. `slo_ms` None: 36 ms, or what the slowest batch needs if that is more."""

    out: Path
    device: str = "cpu"
    duration_s: float = DURATION_S
    rounds: int = ROUNDS
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    slo_ms: float | None = None


def planned(out: Path, device: str, quick: bool) -> Asked:
    """All of it, or so little that only errors mean anything."""
    return Asked(out, device, duration_s=2.0, rounds=2, batch_sizes=(1, 2)) if quick else Asked(out, device)


class Cell(NamedTuple):
    """One played trace: what it is called, and what came of it."""

    key: str
    what: str
    outcomes: Outcomes
    busy: float | None
    bound: float | None


def headline(asked: Asked, progress: Progress) -> list[Figure]:
    """Build, profile, serve in process and over HTTP; raises Unknown or BadOption for the device, BadFile where `out` cannot be written."""
    progress(0, STEPS, "OFA-ResNet50 with random weights")
    device(asked.device)
    folder, path = asked.out / "supernet", asked.out / f"ofa-resnet50.{_short(asked.device)}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(f"cannot write to {asked.out}: {error.strerror}", hint="choose another --out") from error
    supernet.save(folder, paper_net())
    held = resident.hold(folder, asked.device, pixels=True)
    progress(1, STEPS, "profile")
    profile = _profiled(held, asked, path)
    figures = _capacity(profile)
    progress(2, STEPS, "graphs against launches")
    figures += _graphs(held, folder, asked)
    del held
    slo_ns = ms_to_ns(SLO_MS) if asked.slo_ms is None else ms_to_ns(asked.slo_ms)
    slo_ns = max(slo_ns, profile.default_slo_ns()) if asked.slo_ms is None else slo_ns
    progress(3, STEPS, "in process")
    arrived = _arrivals(profile, asked)
    cells = _direct(folder, profile, arrived, slo_ns, asked)
    progress(5, STEPS, "over HTTP")
    cells += _over_http(folder, path, profile, arrived, slo_ns, asked)
    progress(STEPS, STEPS, "")
    shutil.rmtree(folder)
    return figures + [figure for cell in cells for figure in _figures(cell)]


def _profiled(held: Resident, asked: Asked, path: Path) -> Profile:
    measured = profiling.subject(held, held.subnets, asked.batch_sizes, None, 0)
    samples = subject.sample(measured, asked.rounds, path)
    return subject.write(measured, samples, path, {"name": path.stem, "dataset": ABOUT, **machine()})


def _smallest_qps(profile: Profile) -> float:
    return profile.largest * NS_PER_S / min(row[-1] for row in profile.plan)


def _capacity(profile: Profile) -> list[Figure]:
    largest = profile.largest * NS_PER_S / max(row[-1] for row in profile.plan)
    return [
        Figure("smallest_qps", f"the smallest subnet sustains, batches of {profile.largest}", _smallest_qps(profile), "/s"),
        Figure("largest_qps", "... the largest", largest, "/s"),
    ]


def _graphs(held: Resident, folder: Path, asked: Asked) -> list[Figure]:
    if not isinstance(held.worker, GraphWorker):
        return [Figure("graph_ratio", "graph replay / launches", None, "x", note="no GPU")]
    eager = resident.hold(folder, asked.device, pixels=True, eager=True).worker
    figures = []
    for size in (asked.batch_sizes[0], asked.batch_sizes[-1]):
        batch = images(held.model.shape)[:size]
        ways = {way: _runs(worker, held.subnets, batch) for way, worker in (("graph", held.worker), ("eager", eager))}
        ratio = compare(held.subnets, ways, COMPARED_ROUNDS).ratio("graph", "eager")
        figures.append(Figure(f"graph_ratio_{size}", f"graph replay / launches, batches of {size}, median of subnets", ratio, "x"))
    return [*figures, *_memory(held.worker.bytes)]


def _runs(worker: Worker, subnets: Sequence[Subnet], batch: NDArray[Any]) -> list[Run]:
    return [partial(worker.infer, subnet, batch) for subnet in subnets]


def _memory(after: Mapping[tuple[Subnet, int], int]) -> list[Figure]:
    held = list(after.values())
    return [
        Figure("memory_first_mb", "GPU memory with weights, buffers and the first graph", held[0] / MB, "MB"),
        Figure("memory_all_mb", f"... with all {len(held)} graphs", held[-1] / MB, "MB"),
        Figure("memory_graph_mb", "... per further graph", (held[-1] - held[0]) / MB / max(1, len(held) - 1), "MB"),
    ]


def _arrivals(profile: Profile, asked: Asked) -> dict[str, tuple[Trace, float]]:
    """The traces by key, each with its mean rate."""
    relative = LOAD * _smallest_qps(profile)
    found = {key: (traces.load(name, qps=relative, duration_s=asked.duration_s, seed=0), relative) for key, name in TRACES.items()}
    absolute = traces.load(TRACES["bursty"], qps=PAPER_QPS, duration_s=asked.duration_s, seed=0)
    return {**found, "paper_rate": (absolute, PAPER_QPS)}


def _deciding(profile: Profile) -> list[Policy]:
    fixed = [f"fixed:{profile.subnets[i]}" for i in (0, (len(profile.subnets) - 1) // 2, -1)]
    return [policies.named(name) for name in ("slackfit", "price", "max-batch", *fixed)]


def _direct(folder: Path, profile: Profile, arrived: Mapping[str, tuple[Trace, float]], slo_ns: int, asked: Asked) -> list[Cell]:
    served = profile.served()
    order = Order(MAKE, {"path": str(folder), "device": asked.device, "pixels": True})
    runs = [(policy, key) for key in arrived for policy in _deciding(served)]
    pool = images((3, 224, 224))
    played = direct.serve(order, served, [(policy, arrived[key][0], slo_ns) for policy, key in runs], LATE, pool)
    return [
        Cell(
            f"{key}_{policy.name.partition(':')[0]}{_rank(served, policy.name)}",
            f"in process, {key} at {arrived[key][1]:,.0f}/s, {policy.name}",
            run.outcomes,
            run.busy,
            utility_bound(arrived[key][0], served, workers=1, slo_ns=slo_ns),
        )
        for (policy, key), run in zip(runs, played, strict=True)
    ]


def _rank(profile: Profile, name: str) -> str:
    _, _, subnet = name.partition(":")
    return f"_{profile.index(subnet)}" if subnet in profile.subnets else ""


def _over_http(
    folder: Path, path: Path, profile: Profile, arrived: Mapping[str, tuple[Trace, float]], slo_ns: int, asked: Asked
) -> list[Cell]:
    options = ["--uint8", "--device", asked.device, "--policy", "slackfit", "--slo-ms", f"{slo_ns / 1e6:g}", "--late", LATE]
    found = []
    with server(folder, path, options) as url:
        for key, (trace, qps) in arrived.items():
            run = load.replay(url, trace, slo_ns)
            valid = "" if run.valid else f" (INVALID: {'; '.join(run.problems)})"
            found.append(Cell(f"http_{key}_slackfit", f"over HTTP, {key} at {qps:,.0f}/s, slackfit{valid}", run.outcomes, None, None))
    return found


def _figures(cell: Cell) -> list[Figure]:
    attained, accuracy, gap = metrics.attainment(cell.outcomes), metrics.accuracy(cell.outcomes), metrics.gap(cell.outcomes, cell.bound)
    target = MOST_MISSED if cell.key in HEADLINE else None
    missed = None if attained is None else 100 * (1 - attained)
    figures = [
        Figure(f"{cell.key}_missed_percent", cell.what, missed, "% missed", target),
        Figure(f"{cell.key}_accuracy", "... accuracy, looked up", accuracy, "", note="nothing was met"),
    ]
    if gap is not None:
        figures.append(Figure(f"{cell.key}_gap", "... utility below the bound", 100 * gap, "points"))
    if cell.busy is not None:
        figures.append(Figure(f"{cell.key}_busy", "... busy time / wall time", cell.busy, ""))
    return figures


def _short(device: str) -> str:
    """A word for the device that file names can hold: `h200`, `cpu`."""
    if device == "cpu":
        return device
    words = torch.cuda.get_device_name(torch.device(device)).lower().split()
    return next((word for word in reversed(words) if any(c.isdigit() for c in word)), words[-1])
