"""Pictures of the experiments: policies by attainment and accuracy in each cell, rates by workers, gaps by buckets."""

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from superserve_cli.core import figures
from superserve_cli.studies.reproduction.experiments import Experiment
from superserve_cli.studies.reproduction.measures import CLIPPER, Grid, Row
from superserve_cli.studies.reproduction.results import Results

COLUMNS: Final = 3
SHOWN: Final = {"slackfit": figures.BLUE, "price": figures.ORANGE}
"""Policies with a colour of their own; Clipper+ is a line, the others are crosses."""


def drawn(found: Results, experiment: Experiment) -> Iterator[tuple[str, str]]:
    """The profiles on which an experiment is drawn, and the file of each picture."""
    if experiment.name in DRAWN:
        for setting, grids in found.grids.items():
            if setting.late == found.late and setting.service == "fixed" and experiment.name in grids:
                yield setting.profile, f"{experiment.name}-{Path(setting.profile).stem}.svg"


def write(found: Results, folder: Path) -> None:
    """Every picture into a folder."""
    by_profile = {
        setting.profile: grids for setting, grids in found.grids.items() if setting.late == found.late and setting.service == "fixed"
    }
    for experiment in found.experiments:
        for profile, file in drawn(found, experiment):
            title = f"{experiment.title} on {profile}"
            draw = partial(DRAWN[experiment.name], by_profile[profile][experiment.name], title)
            figures.write(folder / file, title, draw)


def _draw_rates(grid: Grid, title: str, figure: Figure) -> None:
    axes = figure.subplots()
    workers = [int(label.partition(" ")[0]) for label in grid]
    for name, colour in zip(next(iter(grid.values())), (figures.BLUE, figures.ORANGE), strict=False):
        axes.plot(workers, [row[name].offered_qps for row in grid.values()], "o-", color=colour, label=name)
    axes.set(title=title, xlabel="workers", ylabel="images/s at an attainment of 0.999", xlim=0, ylim=0)
    axes.legend()


def _draw_gaps(grid: Grid, title: str, figure: Figure) -> None:
    axes = figure.subplots()
    gaps = {name: [row[name].gap for row in grid.values()] for name in next(iter(grid.values()))}
    known = {int(name.partition(":")[2]): [gap for gap in each if gap is not None] for name, each in gaps.items()}
    axes.plot(list(known), [fmean(each) if each else float("nan") for each in known.values()], "o-", color=figures.BLUE)
    axes.set(title=title, xlabel="buckets K of slackfit:K", ylabel="mean gap to the bound, points of utility", ylim=0)


def _draw_cells(grid: Grid, title: str, figure: Figure) -> None:
    lines = ceil(len(grid) / COLUMNS)
    figure.set_size_inches(7.6, 0.8 + 2.1 * lines)
    figure.suptitle(title, x=0.01, ha="left")
    panels = figure.subplots(lines, min(COLUMNS, len(grid)), sharex=True, sharey=True, squeeze=False).flat
    for axes, (label, row) in zip(panels, grid.items(), strict=False):
        _draw_row(axes, row)
        axes.set_title(label, fontsize=9, pad=3)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(3))
    figure.supxlabel("SLO attainment, %", fontsize=9)
    figure.supylabel("accuracy over met, %", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8)


def _draw_row(axes: Axes, row: Row) -> None:
    """The policies of a cell: Clipper+ from subnet to subnet, and points for those that choose."""
    known = {name: (100 * mean.attainment, 100 * mean.accuracy) for name, mean in row.items() if mean.accuracy is not None}
    fixed = sorted((y, x) for name, (x, y) in known.items() if name.startswith(CLIPPER))
    axes.plot([x for _, x in fixed], [y for y, _ in fixed], "s-", color=figures.MUTED, markersize=3, linewidth=0.8, label="Clipper+")
    rest = {name: at for name, at in known.items() if not name.startswith(CLIPPER) and name not in SHOWN}
    axes.plot([x for x, _ in rest.values()], [y for _, y in rest.values()], "x", color=figures.INK, markersize=4, label="others")
    for name, colour in SHOWN.items():
        if name in known:
            axes.plot(*([value] for value in known[name]), "o", color=colour, markersize=6, label=name)


DRAWN: Final[dict[str, Callable[[Grid, str, Figure], None]]] = {
    "bursty": _draw_cells,
    "time-varying": _draw_cells,
    "workers": _draw_rates,
    "buckets": _draw_gaps,
}
"""Experiment -> its picture."""
