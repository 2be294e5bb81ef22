from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from superserve_cli.core import figures
from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.traces.trace import Trace

STEPS = 240


def write_plot(path: Path, trace: Trace) -> None:
    """The arrival rate over time, as SVG, PNG or HTML; raises BadOption for another suffix, BadFile if it cannot be written."""
    edges_s = np.linspace(0, trace.duration_ns / NS_PER_S, STEPS + 1)
    step_s = edges_s[1]
    counts, _ = np.histogram(trace.arrival_ns / NS_PER_S, edges_s)
    name = trace.source.rpartition("/")[2] or "trace"
    title = f"{name}{' (synthetic)' if trace.synthetic else ''}: {len(trace):,} requests"

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.stairs(counts / step_s, edges_s, fill=True, color=figures.BLUE, alpha=0.85)
        axes.axhline(len(trace) / edges_s[-1], color=figures.ORANGE, linewidth=1.2, label=f"mean {len(trace) / edges_s[-1]:,.0f}/s")
        axes.set(title=title, xlabel=f"seconds; a step is {step_s:g} s", ylabel="requests per second", xlim=(0, edges_s[-1]))
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right", facecolor="white", frameon=True, edgecolor=figures.GRID)

    figures.write(path, title, draw)
