"""What the paper claims, and how each claim is measured here; every claim holds from some figure on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from superserve_cli.reports import notation
from superserve_cli.studies.reproduction import measures
from superserve_cli.studies.reproduction.measures import Figure, Fixed, Grid, Mean

SLACKFIT: Final = "slackfit"
LEAST: Final = 0.01
"""Points that a fall must have to be one."""
LINEAR: Final = 0.95
SLOW, QUICK = "switching:100", "switching:0"
NOT_RUN: Final = Figure(None, "not run")


class Seen(NamedTuple):
    """What one setting knows: experiment -> grid, and its Clipper+ policies; `ours` is the policy that is held to the claims."""

    grids: Mapping[str, Grid]
    fixed: Fixed
    ours: str = SLACKFIT


@dataclass(frozen=True)
class Claim:
    """One claim: where it stands, in which unit (share, points, factor), from which figure on it holds.

    `paper` is the paper's number, if it gives one; a figure above `neutral` but below `least` points the same way, and is less.
    """

    name: str
    experiment: str
    says: str
    unit: str
    least: float
    measure: Callable[[Seen, Grid], Figure]
    paper: float | None = None
    neutral: float | None = None

    def measured(self, seen: Seen) -> Figure:
        """The claim's figure under a setting."""
        grid = seen.grids.get(self.experiment)
        if not grid or not all(seen.ours in row or self.experiment in ("workers", "actuation") for row in grid.values()):
            return NOT_RUN
        return self.measure(seen, grid)

    def verdict(self, value: float | None) -> str:
        """What the figure says of the claim."""
        if value is None:
            return UNKNOWN
        if value >= self.least:
            return HOLDS
        return LESS if self.neutral is not None and value > self.neutral else FAILS


HOLDS, LESS, FAILS, UNKNOWN = "holds", "holds with less", "does not hold", "cannot be compared"


def _attainment(seen: Seen, grid: Grid) -> Figure:
    return measures.worst({at: Figure(row[seen.ours].attainment, "") for at, row in grid.items()})


def _gain(seen: Seen, grid: Grid) -> Figure:
    return measures.best({at: measures.accuracy_gain(row, seen.ours) for at, row in grid.items()})


def _factor(seen: Seen, grid: Grid) -> Figure:
    return measures.best({at: measures.attainment_factor(row, seen.ours, seen.fixed) for at, row in grid.items()})


def _infaas_is_optimal(seen: Seen, grid: Grid) -> Figure:
    if not all("infaas" in row for row in grid.values()):
        return NOT_RUN
    behind = {at: 100 * (row["infaas"].attainment - max(mean.attainment for mean in row.values())) for at, row in grid.items()}
    return measures.worst({at: Figure(points, "") for at, points in behind.items()})


def _clipper(number: int, begin: str, end: str) -> Callable[[Seen, Grid], Figure]:
    """How far Clipper+ on its n-th subnet falls in attainment from one workload to another, in points."""

    def measure(seen: Seen, grid: Grid) -> Figure:
        specs = list(seen.fixed)
        if len(specs) < number or begin not in grid or end not in grid or specs[number - 1] not in grid[begin]:
            return NOT_RUN
        spec = specs[number - 1]
        high, low = grid[begin][spec].attainment, grid[end][spec].attainment
        return Figure(100 * (high - low), f"{spec}: {notation.percent(high)} to {notation.percent(low)}")

    return measure


def _behind(policy: str, choose: Callable[[Mapping[str, Figure]], Figure]) -> Callable[[Seen, Grid], Figure]:
    """How many points of attainment a policy lacks to ours."""

    def measure(seen: Seen, grid: Grid) -> Figure:
        return choose(
            {
                at: Figure(100 * (row[seen.ours].attainment - row[policy].attainment), f"{notation.percent(row[policy].attainment)}")
                for at, row in grid.items()
            }
        )

    return measure


def _falls(seen: Seen, grid: Grid) -> Figure:
    """How far the accuracy of ours falls from the first twentieth of the run to the last, in points."""

    def fall(mean: Mean) -> Figure:
        if mean.accuracy_first is None or mean.accuracy_last is None:
            return Figure(None, "nothing was met at one end")
        note = f"{notation.percent(mean.accuracy_first)} to {notation.percent(mean.accuracy_last)}"
        return Figure(100 * (mean.accuracy_first - mean.accuracy_last), note)

    falling = {at: fall(row[seen.ours]) for at, row in grid.items() if at == "to 7400/s, τ 250" or len(grid) == 1}
    return measures.worst(falling)


def _never_the_largest(seen: Seen, grid: Grid) -> Figure:
    bursty = {at: row[seen.ours].top_share for at, row in grid.items() if "CV" in at}
    return measures.worst({at: Figure(None if share is None else 1 - share, "") for at, share in bursty.items()})


def _linear(seen: Seen, grid: Grid) -> Figure:
    """The largest rate per worker with the most workers, over that with the fewest: the smallest of the policies'."""
    few, many = min(grid, key=_count), max(grid, key=_count)
    at_few, at_many = grid[few], grid[many]
    ratios = {
        policy: Figure(
            at_many[policy].offered_qps / _count(many) / (mean.offered_qps / _count(few)),
            f"{at_many[policy].offered_qps:,.0f}/s with {many}",
        )
        for policy, mean in at_few.items()
        if mean.offered_qps
    }
    return measures.worst(ratios)


def _count(label: str) -> int:
    return int(label.partition(" ")[0])


def _misses(grid: Grid) -> tuple[float, float] | None:
    """The share of misses with 100 ms of actuation, and with none."""
    (row,) = grid.values()
    return (1 - row[SLOW].attainment, 1 - row[QUICK].attainment) if SLOW in row and QUICK in row else None


def _more_misses(seen: Seen, grid: Grid) -> Figure:
    if (misses := _misses(grid)) is None:
        return NOT_RUN
    slow, quick = misses
    return Figure(100 * (slow - quick), f"{100 * slow:.3f} % with 100 ms, {100 * quick:.3f} % with 0 ms")


def _times_the_misses(seen: Seen, grid: Grid) -> Figure:
    if (misses := _misses(grid)) is None:
        return NOT_RUN
    slow, quick = misses
    return Figure(slow / quick, "") if quick else Figure(None, "no miss with 0 ms")


OF_OURS: Final = (_attainment, _gain, _factor)
"""Measures that ask of a policy what the paper claims of SlackFit: another can be held to them too."""

ALL: Final = (
    Claim("MAF attainment", "maf", "0.99999 of the MAF requests in time", "share", 0.99999, _attainment, 0.99999),
    Claim("MAF accuracy", "maf", "4.67 points of accuracy more at equal attainment", "points", 4.67, _gain, 4.67, neutral=LEAST),
    Claim("MAF factor", "maf", "2.85 times the attainment at equal accuracy", "factor", 2.85, _factor, 2.85, neutral=1.01),
    Claim("bursty attainment", "bursty", "more than 0.999 in time on every bursty trace", "share", 0.999, _attainment, 0.999),
    Claim(
        "bursty accuracy", "bursty", "up to 4.33 points of accuracy more at equal attainment", "points", 4.33, _gain, 4.33, neutral=LEAST
    ),
    Claim("bursty factor", "bursty", "up to 2.06 times the attainment at equal accuracy", "factor", 2.06, _factor, 2.06, neutral=1.01),
    Claim("INFaaS optimal", "bursty", "INFaaS attains as much as the best (points behind it)", "points", -0.01, _infaas_is_optimal),
    Claim(
        "Clipper+ and CV²",
        "bursty",
        "Clipper+ (76.69) falls as CV² rises from 2 to 8 at 5,550/s",
        "points",
        LEAST,
        _clipper(2, "5550/s, CV² 2", "5550/s, CV² 8"),
    ),
    Claim(
        "Clipper+ and rate",
        "bursty",
        "Clipper+ (78.25) falls as the rate rises from 2,950 to 5,550/s at CV² 2",
        "points",
        LEAST,
        _clipper(4, "2950/s, CV² 2", "5550/s, CV² 2"),
    ),
    Claim("varying attainment", "time-varying", "0.991 to 1.0 in time on every time-varying trace", "share", 0.991, _attainment, 0.991),
    Claim(
        "Clipper+ and τ",
        "time-varying",
        "Clipper+ (79.44) falls as τ rises from 250 to 5,000 towards 6,800/s",
        "points",
        LEAST,
        _clipper(5, "to 6800/s, τ 250", "to 6800/s, τ 5000"),
    ),
    Claim(
        "Clipper+ and end rate",
        "time-varying",
        "Clipper+ (79.44) falls as the end rate rises from 4,800 to 7,800/s at τ 250",
        "points",
        LEAST,
        _clipper(5, "to 4800/s, τ 250", "to 7800/s, τ 250"),
    ),
    Claim("SlackFit", "policies", "SlackFit has 0.999 in time at CV² 2, 4 and 8", "share", 0.999, _attainment, 0.999),
    Claim(
        "MaxBatch behind",
        "policies",
        "MaxBatch is up to 5 points of attainment lower",
        "points",
        5.0,
        _behind("max-batch", measures.best),
        5.0,
        neutral=LEAST,
    ),
    Claim(
        "MaxAcc behind",
        "policies",
        "MaxAcc cannot keep up (points behind, smallest)",
        "points",
        1.0,
        _behind("max-accuracy", measures.worst),
    ),
    Claim(
        "largest unused",
        "dynamics",
        "on bursty traces of 7,000/s the largest subnet never serves (share of the others)",
        "share",
        1.0,
        _never_the_largest,
    ),
    Claim(
        "accuracy adapts",
        "dynamics",
        "accuracy falls from 79.2 to 77.5 % as 2,500/s become 7,400/s (τ 250)",
        "points",
        1.7,
        _falls,
        1.7,
        neutral=LEAST,
    ),
    Claim("faults attainment", "faults", "0.999 in time while half of the workers are lost", "share", 0.999, _attainment, 0.999),
    Claim("faults accuracy", "faults", "accuracy falls instead, as workers are lost", "points", LEAST, _falls),
    Claim(
        "linear",
        "workers",
        "the sustained rate is linear in the workers (rate per worker, most over fewest)",
        "factor",
        LINEAR,
        _linear,
        1.0,
    ),
    Claim("actuation misses", "actuation", "100 ms of actuation miss 2 % more than 0 ms", "points", 2.0, _more_misses, 2.0, neutral=LEAST),
    Claim(
        "actuation factor",
        "actuation",
        "up to 75 times the misses with a loading delay",
        "factor",
        75.0,
        _times_the_misses,
        75.0,
        neutral=1.01,
    ),
)
UNCHECKED: Final = (
    "MAF on the transformer SuperNet (1.2 times the attainment, or 1.72 points): its latencies are only a picture.",
    "33,000 requests/s at the largest number of workers (Fig. 11b): of a ResNet-18, whose latency is not given.",
    "Accuracies of 76 to 78 % at 7,000 requests/s (Fig. 13): stand beside our own in the table of that experiment.",
    "The cells of Figs. 8 to 11 and 13 one by one: they are pictures.",
)
