"""The claims of the paper beside our figures, under every setting, and the verdict on each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superserve_cli import policies
from superserve_cli.studies.reproduction.asked import Asked, loaded
from superserve_cli.studies.reproduction.cells import Cell, Store
from superserve_cli.studies.reproduction.claims import ALL, SLACKFIT, UNKNOWN, Claim, Seen
from superserve_cli.studies.reproduction.experiments import Experiment
from superserve_cli.studies.reproduction.measures import CLIPPER, Figure, Fixed, Grid, Setting, grids
from superserve_cli.studies.reproduction.running import asked_cells
from superserve_cli.studies.utilisation import capacity_qps, rate_factor, slo_ns

SCHEMA: Final = "reproduction/1"
DEFAULT_LATE: Final = "shed"


@dataclass(frozen=True)
class Results:
    """Everything that the page, the pictures and the JSON tell."""

    asked: Asked
    settings: Mapping[str, Any]
    cells: Sequence[Cell]
    grids: Mapping[Setting, Mapping[str, Grid]]
    fixed: Mapping[str, Fixed]
    runs: Sequence[Mapping[str, float]]

    @property
    def experiments(self) -> list[Experiment]:
        """Those that have cells, in the paper's order."""
        there = {cell.experiment for cell in self.cells}
        return [experiment for experiment in self.asked.experiments if experiment.name in there]

    @property
    def late(self) -> str:
        """The late rule of which the tables tell most."""
        return DEFAULT_LATE if DEFAULT_LATE in self.asked.late else self.asked.late[0]

    @property
    def claims(self) -> list[Claim]:
        """The claims on the experiments that were run."""
        names = {experiment.name for experiment in self.experiments}
        return [claim for claim in ALL if claim.experiment in names]

    def seen(self, setting: Setting, ours: str = SLACKFIT) -> Seen:
        """What a setting knows, with a policy that is held to the claims."""
        return Seen(self.grids.get(setting, {}), self.fixed[setting.profile], ours)

    def figures(self, claim: Claim) -> dict[Setting, Figure]:
        """Our figure on a claim under every setting."""
        return {setting: claim.measured(self.seen(setting)) for setting in self.grids}


def results(asked: Asked, store: Store) -> Results:
    """What the cells of a store tell about what was asked."""
    cells = sorted(asked_cells(asked, store), key=lambda cell: _order(asked, cell))
    fixed = {name: _fixed(name) for name in asked.profiles}
    return Results(asked, store.settings, cells, grids(cells), fixed, store.runs)


def _order(asked: Asked, cell: Cell) -> tuple[int, ...]:
    names = [experiment.name for experiment in asked.experiments]
    labels = [workload.label for workload in asked.experiments[names.index(cell.experiment)].workloads]
    place = (names.index(cell.experiment), asked.profiles.index(cell.profile), asked.services.index(cell.service))
    return (*place, asked.late.index(cell.late), labels.index(cell.workload), cell.seed)


def _fixed(name: str) -> dict[str, float]:
    served = loaded(name)
    specs = [policy.name for policy in policies.every(served) if policy.name.startswith(CLIPPER)]
    accuracies = {spec: served.accuracy(spec.removeprefix(CLIPPER)) or 0.0 for spec in specs}
    return dict(sorted(accuracies.items(), key=lambda item: item[1]))


def overall(claim: Claim, figures: Mapping[Setting, Figure]) -> str:
    """In words, where a claim holds: everywhere, nowhere, on some profiles, under some late rules; and whether noise changes that."""
    fixed = {setting: claim.verdict(figure.value) for setting, figure in figures.items() if setting.service == "fixed"}
    noisy = {setting: claim.verdict(figure.value) for setting, figure in figures.items() if setting.service == "measured"}
    told = _where(fixed or noisy)
    unlike = [setting for setting, verdict in noisy.items() if fixed.get(setting._replace(service="fixed"), verdict) != verdict]
    return f"{told}; differs under noise" if unlike else told


def _where(verdicts: Mapping[Setting, str]) -> str:
    known = {setting: verdict for setting, verdict in verdicts.items() if verdict != UNKNOWN}
    if not known:
        return UNKNOWN
    if len(set(known.values())) == 1:
        everywhere = next(iter(known.values()))
        return everywhere if len(known) == len(verdicts) else f"{everywhere}, where it can be compared"
    by_profile: dict[str, set[str]] = {}
    for setting, verdict in known.items():
        by_profile.setdefault(setting.profile, set()).add(verdict)
    if len(by_profile) > 1 and all(len(each) == 1 for each in by_profile.values()):
        return "profile-dependent"
    if len({frozenset(each) for each in by_profile.values()}) == 1:
        return "depends on the late rule"
    return "depends on profile and late rule"


def as_json(found: Results) -> dict[str, Any]:
    """`reproduction.json`: the settings, every claim under every setting, every cell."""
    return {
        "schema": SCHEMA,
        "settings": dict(found.settings),
        "seeds": found.asked.seeds,
        "runs": list(found.runs),
        "profiles": {name: _profile(name) for name in found.asked.profiles},
        "claims": [_claim(found, claim) for claim in found.claims],
        "cells": [{**cell.__dict__} for cell in found.cells],
    }


def _profile(name: str) -> dict[str, Any]:
    served = loaded(name)
    return {
        "about": served.about,
        "capacity_qps": capacity_qps(served, 8),
        "rate_factor": rate_factor(served),
        "slo_ms": slo_ns(served) / 1e6,
    }


def _claim(found: Results, claim: Claim) -> dict[str, Any]:
    figures = found.figures(claim)
    return {
        "claim": claim.name,
        "experiment": claim.experiment,
        "says": claim.says,
        "unit": claim.unit,
        "paper": claim.paper,
        "verdict": overall(claim, figures),
        "figures": [
            {
                **setting._asdict(),
                "value": figure.value,
                "difference": None if figure.value is None or claim.paper is None else figure.value - claim.paper,
                "verdict": claim.verdict(figure.value),
                "note": figure.note,
            }
            for setting, figure in figures.items()
        ],
    }
