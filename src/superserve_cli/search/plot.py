from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from superserve_cli.core import figures
from superserve_cli.search.found import Found

AROUND: Final = 1500
"""Random subnets, to see the front against."""


def write_plot(path: Path, found: Found, name: str) -> None:
    """The predicted front, latency against accuracy, and random subnets behind it."""
    measured_on = found.latency.table.measured_on
    title = f"{name} on {measured_on['device']}: {len(found.subnets)} subnets, the predicted front"
    codes = found.genes.sample(AROUND, np.random.default_rng(0))
    factor = 1.0 if found.accuracy.stands_in else 100.0

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        latency, accuracy = found.latency(codes), factor * found.accuracy.of(codes)
        axes.plot(latency, accuracy, "o", markersize=3, color=figures.MUTED, alpha=0.25, markeredgewidth=0, label="random subnets")
        points = found.front.points
        if len(found.front.near.latency):
            near = found.front.near
            axes.plot(
                near.latency, factor * near.accuracy, "o", markersize=2.5, color=figures.ORANGE, alpha=0.5, markeredgewidth=0, label="near"
            )
        axes.plot(points.latency, factor * points.accuracy, "o-", color=figures.BLUE, markersize=3, linewidth=1.2, label="front")
        ylabel = "MACs, as a stand-in for accuracy" if found.accuracy.stands_in else "predicted accuracy, %"
        axes.set(title=title, xlabel=f"predicted latency of a batch of {measured_on['batch_size']}, ms", ylabel=ylabel)
        axes.legend(loc="lower right", facecolor="white", frameon=True, edgecolor=figures.GRID)

    figures.write(path, title, draw)
