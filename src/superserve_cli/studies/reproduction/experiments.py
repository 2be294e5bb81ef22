"""The experiments of the SuperServe paper (NSDI 2025, section 6) as data: rates in requests/s of its own eight GPUs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from superserve_cli.errors import Unknown

PAPER_WORKERS: Final = 8
FASTEST: Final = "FASTEST"
"""Stands for the fastest served subnet of a profile in the name of a policy."""
AZURE: Final = "azure"
"""The source that a real file of the Azure Functions trace may take the place of."""


@dataclass(frozen=True)
class Workload:
    """Arrivals of one cell of a figure: a generator of `traces`, its rates (which a profile scales) and its shape (which it does not).

    `rows` is how many rows a request has; `losses` workers are lost one by one, at equal steps of the run.
    """

    label: str
    source: str
    rates: Mapping[str, float]
    shape: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 60.0
    workers: int = PAPER_WORKERS
    rows: int = 1
    losses: int = 0


@dataclass(frozen=True)
class Experiment:
    """Workloads and the policies that serve them; none named means all of them.

    With `search`, the rates of the workloads are not offered but looked for: the largest at which the attainment is 0.999.
    """

    name: str
    title: str
    about: str
    workloads: tuple[Workload, ...]
    policies: tuple[str, ...] = ()
    search: bool = False


def _bursty(variant: float, cv2: float, base: float = 1500.0, **more: int) -> Workload:
    whole = base + variant
    return Workload(f"{variant:g}/s, CV² {cv2:g}", "bursty", {"qps": whole}, {"base_share": base / whole, "cv2": cv2}, **more)


def _time_varying(end: float, acceleration: float, start: float = 2500.0) -> Workload:
    rates = {"start_qps": start, "end_qps": end, "acceleration": acceleration}
    return Workload(f"to {end:g}/s, τ {acceleration:g}", "time-varying", rates, {"cv2": 8.0})


def _workers(count: int) -> Workload:
    label = f"{count} worker{'s' if count > 1 else ''}"
    return Workload(label, "bursty", {}, {"base_share": 1.0, "cv2": 0.0}, seconds=10.0, workers=count, rows=8)


MAF: Final = Workload("MAF", AZURE, {"qps": 6400.0}, seconds=120.0)
BURSTY: Final = tuple(_bursty(variant, cv2) for variant in (2950, 4900, 5550) for cv2 in (2, 4, 8))

ALL: Final = (
    Experiment(
        "maf",
        "MAF (Fig. 8)",
        "Azure Functions shrunk to 120 s (the paper: 24 hours of 32,700 functions), 6,400 requests/s, 8 workers",
        (MAF,),
    ),
    Experiment(
        "bursty",
        "Bursty traces (Fig. 9)",
        "1,500 requests/s of constant spacing and 2,950, 4,900 or 5,550 with gamma gaps of CV² 2, 4 or 8",
        BURSTY,
    ),
    Experiment(
        "time-varying",
        "Time-varying traces (Fig. 10)",
        "2,500 requests/s that accelerate by τ = 250, 500 or 5,000 requests/s² to 4,800, 6,800 or 7,800; gamma gaps of CV² 8",
        tuple(_time_varying(end, acceleration) for end in (4800, 6800, 7800) for acceleration in (250, 500, 5000)),
    ),
    Experiment(
        "policies",
        "Policies (Fig. 11c)",
        "SlackFit, MaxBatch and MaxAcc on 1,500 + 5,550 requests/s, CV² 2, 4 and 8",
        tuple(_bursty(5550, cv2) for cv2 in (2, 4, 8)),
        ("slackfit", "max-batch", "max-accuracy", "price"),
    ),
    Experiment(
        "dynamics",
        "System dynamics (Fig. 13)",
        "1,500 + 5,500 requests/s of CV² 2 and 8, and 2,500 requests/s that accelerate to 7,400 by 250 and 5,000 requests/s²",
        (_bursty(5500, 2), _bursty(5500, 8), _time_varying(7400, 250), _time_varying(7400, 5000)),
        ("slackfit", "price"),
    ),
    Experiment(
        "faults",
        "Fault tolerance (Fig. 11a)",
        "3,500 requests/s of CV² 2 for 60 s on 8 workers, of which one is lost every 12 s until 4 are left",
        (_bursty(2000, 2, losses=4),),
    ),
    Experiment(
        "workers",
        "Scalability (Fig. 11b)",
        "the largest rate at an attainment of 0.999 on 1 to 32 workers: requests of 8 images, evenly spaced; the router costs nothing",
        tuple(map(_workers, (1, 2, 4, 8, 16, 32))),
        (f"fixed:{FASTEST}", "slackfit"),
        search=True,
    ),
    Experiment(
        "buckets",
        "Buckets of SlackFit",
        "the bursty traces under slackfit:K: the paper does not say how many buckets it uses",
        BURSTY,
        tuple(f"slackfit:{k}" for k in (2, 4, 6, 8, 12, 16, 32)),
    ),
    Experiment(
        "actuation",
        "Cost of actuation (Fig. 1)",
        "MAF under a coarse policy, which follows the arrival rate with whole models that take 0, 1, 10 or 100 ms to load",
        (MAF,),
        ("slackfit", *(f"switching:{ms}" for ms in (0, 1, 10, 100))),
    ),
)
NAMES: Final = tuple(experiment.name for experiment in ALL)


def named(names: Iterable[str]) -> list[Experiment]:
    """The experiments of these names in the paper's order, all of them without a name; raises Unknown."""
    asked = list(names) or list(NAMES)
    for name in asked:
        if name not in NAMES:
            raise Unknown("experiment", name, NAMES)
    return [experiment for experiment in ALL if experiment.name in asked]
