"""What is compared, each defined in one place: means over seeds, and the paper's two ways to set a policy against fixed models."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any, Final, NamedTuple

from superserve_cli.reports import notation
from superserve_cli.reports.notes import COMPARABLE
from superserve_cli.studies.reproduction.cells import Cell

EPSILON: Final = 1e-4
"""How much less a baseline may attain and still count as attaining as much."""
NEARLY: Final = 1e-3
"""How much less accurate a subnet may be and still count as equal: a tenth of a point."""
CLIPPER: Final = "fixed:"
BASELINES: Final = (CLIPPER, "infaas")


class Setting(NamedTuple):
    """What everything of a comparison has in common."""

    profile: str
    service: str
    late: str


class Mean(NamedTuple):
    """A policy on a workload: the means over the seeds; None where a seed does not know the figure."""

    attainment: float
    accuracy: float | None
    utility: float | None
    bound: float | None
    accuracy_first: float | None
    accuracy_last: float | None
    top_share: float | None
    offered_qps: float

    @property
    def gap(self) -> float | None:
        """Points of utility between the policy and what no scheduler can pass."""
        return None if self.bound is None or self.utility is None else 100 * (self.bound - self.utility)


class Figure(NamedTuple):
    """A number and what it was found on; None where the comparison cannot be made, and then why."""

    value: float | None
    note: str


Row = Mapping[str, Mean]
"""Policy -> what it did on one workload."""
Grid = Mapping[str, Row]
"""Workload -> policy -> what it did."""
Fixed = Mapping[str, float]
"""The Clipper+ policies of a profile -> the accuracy of their subnets, ascending."""


def grids(cells: Iterable[Cell]) -> dict[Setting, dict[str, dict[str, dict[str, Mean]]]]:
    """Setting -> experiment -> workload -> policy -> means over seeds, all in the order of the cells."""
    seeds: dict[tuple[Setting, str, str, str], list[Cell]] = {}
    for cell in cells:
        setting = Setting(cell.profile, cell.service, cell.late)
        seeds.setdefault((setting, cell.experiment, cell.workload, cell.policy), []).append(cell)
    found: dict[Setting, dict[str, dict[str, dict[str, Mean]]]] = {}
    for (setting, experiment, workload, policy), same in seeds.items():
        found.setdefault(setting, {}).setdefault(experiment, {}).setdefault(workload, {})[policy] = _mean(same)
    return found


def _mean(cells: list[Cell]) -> Mean:
    columns = {name: [getattr(cell, name) for cell in cells] for name in Mean._fields}
    means: dict[str, Any] = {name: None if None in values else fmean(values) for name, values in columns.items()}
    return Mean(**means)


def accuracy_gain(row: Row, ours: str) -> Figure:
    """Accuracy at equal attainment, in points: ours less that of the most accurate baseline that attains as much.

    Baselines are Clipper+ on each of its subnets and INFaaS; as much is ours less EPSILON. Compared only where ours is at least COMPARABLE.
    """
    mine = row[ours]
    equal = {
        name: other.accuracy
        for name, other in row.items()
        if name.startswith(BASELINES) and other.attainment >= mine.attainment - EPSILON and other.accuracy is not None
    }
    if not equal or mine.accuracy is None:
        return Figure(None, "no baseline attains as much")
    most = max(equal, key=lambda name: equal[name])
    note = f"{notation.percent(mine.accuracy)} against {notation.percent(equal[most])} of {most}"
    return _if_comparable(mine, Figure(100 * (mine.accuracy - equal[most]), note))


def attainment_factor(row: Row, ours: str, fixed: Fixed) -> Figure:
    """Attainment at equal accuracy: ours over the highest of the Clipper+ baselines whose subnet is as accurate.

    As accurate is ours less NEARLY. Compared only where ours is at least COMPARABLE.
    """
    mine = row[ours]
    least = 1.0 if mine.accuracy is None else mine.accuracy - NEARLY
    equal = {name: row[name].attainment for name, accuracy in fixed.items() if name in row and accuracy >= least}
    if not any(equal.values()):
        return Figure(None, "no subnet that is as accurate attains anything")
    most = max(equal, key=lambda name: equal[name])
    note = f"at {notation.percent(mine.accuracy)}, {notation.percent(mine.attainment)} against {notation.percent(equal[most])} of {most}"
    return _if_comparable(mine, Figure(mine.attainment / equal[most], note))


def _if_comparable(mine: Mean, figure: Figure) -> Figure:
    """A comparison, unless ours attains too little for it: then only a note."""
    if mine.attainment >= COMPARABLE:
        return figure
    return Figure(None, f"not compared, it attains {notation.percent(mine.attainment, 3)} ({figure.note})")


def worst(figures: Mapping[str, Figure]) -> Figure:
    """The smallest of some figures, and where it was found; None where none is known."""
    return _extreme(figures, -1)


def best(figures: Mapping[str, Figure]) -> Figure:
    """The largest of some figures, and where it was found; None where none is known."""
    return _extreme(figures, 1)


def _extreme(figures: Mapping[str, Figure], sign: int) -> Figure:
    if len(figures) == 1:
        return next(iter(figures.values()))
    known = {at: figure.value for at, figure in figures.items() if figure.value is not None}
    if not known:
        return Figure(None, next((figure.note for figure in figures.values()), "not run"))
    at = max(known, key=lambda label: sign * known[label])
    if len(set(known.values())) == 1 and len(known) == len(figures):
        return Figure(known[at], "the same in every cell")
    of = f"in {len(known)} of {len(figures)} cells; " if len(known) < len(figures) else ""
    return Figure(known[at], f"{of}{at}: {figures[at].note}".removesuffix(": "))
