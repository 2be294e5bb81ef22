"""Pictures as SVG that stands inside the page: its text is text, and its colours are the page's, so that it follows light and dark."""

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from superserve_cli.reports.timeline import Floats, Timeline

# matplotlib wants colours, the page has names for them: these stand in until the drawing is done
INK, MUTED, GRID, MISS = "#0d0001", "#0d0002", "#0d0003", "#0d0004"
SERIES: Final = ("#0d0011", "#0d0012", "#0d0013", "#0d0014")
VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    MISS: "var(--miss)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)},
}
STYLE: Final = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 11,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlepad": 7,
    "axes.titley": 1.0,  # above the axes: looking for a better place takes a third of the drawing
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
WIDE, NARROW, HALF = 980, 360, 420
"""Widths in the page's pixels: on a wide screen, on a phone, and of what fits on both."""


class Point(NamedTuple):
    """A policy in the plane of attainment and accuracy; `series` is its colour, None for a quiet one."""

    name: str
    attainment: float
    accuracy: float
    series: int | None


class Label(NamedTuple):
    """A label's offset from its point, and which of its sides stands there."""

    dx: float
    dy: float
    side: str


class Box(NamedTuple):
    """What a line of text covers: from `begin` to `end`, around the height `y`."""

    begin: float
    end: float
    y: float

    def meets(self, other: "Box") -> bool:
        """Whether the two would be drawn over each other."""
        return self.begin < other.end and other.begin < self.end and abs(self.y - other.y) < LINE


LINE: Final = 12
LABELS: Final = tuple(
    Label(dx, sign * LINE * step, side) for step in range(12) for sign in (1, -1)[: step + 1] for dx, side in ((9, "left"), (-9, "right"))
)
"""The places to try for a label, the nearest first."""


def timeline_svg(over_time: Timeline, width: int) -> str:
    """Arrivals, accuracy, batch size and attainment over time, one above the other."""

    def draw(figure: Figure) -> None:
        rate, accuracy, batch, attainment = _panels(figure, 4)
        edges = over_time.edges_s
        rate.stairs(over_time.rate_qps, edges, fill=True, color=SERIES[0], alpha=0.85)
        rate.set_ylim(bottom=0)
        accuracy.stairs(100 * over_time.accuracy, edges, baseline=None, color=SERIES[1], linewidth=1.6)
        _pad(accuracy, 100 * over_time.accuracy)
        batch.stairs(over_time.batch_size, edges, baseline=None, color=SERIES[2], linewidth=1.6)
        batch.set_ylim(0, 1.15 * float(np.nanmax(over_time.batch_size, initial=1.0)))
        _misses(attainment, edges, 100 * over_time.attainment)
        for axes, title in zip(
            (rate, accuracy, batch, attainment),
            ("Arrivals, requests/s", "Served accuracy, %", "Batch size", "SLO attainment, %"),
            strict=True,
        ):
            axes.set_title(title)
        attainment.set_xlabel(f"seconds since the first arrival; a step is {over_time.bin_s:g} s")

    return _svg(f"timeline-{width}", width, 500, "Arrival rate, served accuracy, batch size and SLO attainment over time", draw)


def overlay_svg(timelines: Sequence[Timeline], width: int) -> str:
    """Accuracy and attainment of several runs of one trace over time, below its arrivals; colours follow the order."""

    def draw(figure: Figure) -> None:
        rate, accuracy, attainment = _panels(figure, 3)
        rate.stairs(timelines[0].rate_qps, timelines[0].edges_s, fill=True, color=MUTED, alpha=0.5)
        rate.set_ylim(bottom=0)
        # the best policy comes first and is drawn last, on top
        for one, colour in reversed(list(zip(timelines, SERIES, strict=False))):
            accuracy.stairs(100 * one.accuracy, one.edges_s, baseline=None, color=colour, linewidth=1.6)
            attainment.stairs(100 * one.attainment, one.edges_s, baseline=None, color=colour, linewidth=1.6)
        _pad(accuracy, 100 * np.concatenate([one.accuracy for one in timelines]))
        attainment.set_ylim(_lower([one.attainment for one in timelines]), 101)
        for axes, title in zip(
            (rate, accuracy, attainment), ("Arrivals, requests/s", "Served accuracy, %", "SLO attainment, %"), strict=True
        ):
            axes.set_title(title)
        attainment.set_xlabel(f"seconds since the first arrival; a step is {timelines[0].bin_s:g} s")

    return _svg(f"overlay-{width}", width, 430, "Arrival rate, and served accuracy and SLO attainment of the main policies over time", draw)


def latency_svg(latency_ms: Floats, limit: float, unit: str) -> str:
    """Share of all requests answered within a time; `latency_ms` is inf where no answer came, `limit` is where the SLO stands."""
    answers = np.sort(latency_ms[np.isfinite(latency_ms)])
    at = _telling(len(answers))
    share = 100 * (at + 1) / max(1, len(latency_ms))

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((44 / HALF, 0.17, 1 - 56 / HALF, 0.72))
        axes.set_xscale("log")
        if np.all(answers == limit):  # or there are none: an axis around one value finds no ends of its own
            axes.set_xlim(limit / 10, 1.4 * limit)
        axes.axvline(limit, color=MISS, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.annotate("SLO", (limit, 4), xytext=(4, 0), textcoords="offset points", color=MISS)
        if len(answers):
            axes.step(np.maximum(answers[at], 1e-6), share, where="post", color=SERIES[0], linewidth=2)
        axes.set_xlim(right=1.4 * max(limit, answers[-1] if len(answers) else 0.0))
        axes.set_ylim(0, 103)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title("Requests answered within, %")
        axes.set_xlabel(unit)

    return _svg("latency", HALF, 260, "Share of requests answered within a time, with the SLO marked", draw)


def scatter_svg(points: Sequence[Point], width: int) -> str:
    """Policies by attainment and accuracy, on lines of equal utility."""

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((46 / width, 0.12, 1 - 60 / width, 0.8))
        x, y = np.array([100 * p.attainment for p in points]), np.array([100 * p.accuracy for p in points])
        (left, right), (bottom, top) = _range(x, 0.12), _range(y, 0.15)
        axes.set_xlim(left, min(right, 100 + (100 - left) / 30))
        axes.set_ylim(bottom, min(top, 101))
        _equal_utility(axes)
        for point in points:
            quiet = point.series is None
            colour = MUTED if point.series is None else SERIES[point.series]
            axes.plot([100 * point.attainment], [100 * point.accuracy], "o", color=colour, markersize=6 if quiet else 10)
        for point, label in _places(points, axes, width - 60, 300):
            axes.annotate(
                point.name, (100 * point.attainment, 100 * point.accuracy), xytext=(label.dx, label.dy), textcoords="offset points",
                ha=label.side, va="center", fontsize=10, color=MUTED if point.series is None else INK,
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3} if label.dy else None,
            )  # fmt: skip
        axes.set_title("Accuracy over met, %")
        axes.set_xlabel("SLO attainment, %   (dotted: equal utility)")

    return _svg(f"scatter-{width}", width, 380, "Policies by SLO attainment and accuracy", draw)


def _panels(figure: Figure, many: int) -> list[Axes]:
    width, height = figure.get_size_inches() * 72
    axes = list(figure.subplots(many, 1, sharex=True, gridspec_kw={"hspace": 0.42}))
    figure.subplots_adjust(left=44 / width, right=1 - 10 / width, top=1 - 24 / height, bottom=38 / height)
    for each in axes:
        each.yaxis.set_major_locator(MaxNLocator(3))
        each.margins(x=0)
        each.tick_params(axis="x", length=0)
    return axes


def _misses(axes: Axes, edges: Floats, percent: Floats) -> None:
    """What lacks from 100 %, filled: the misses are what the eye should find."""
    axes.stairs(np.full(len(percent), 100.0), edges, baseline=np.nan_to_num(percent, nan=100.0), fill=True, color=MISS, alpha=0.55)
    axes.stairs(percent, edges, baseline=None, color=SERIES[3], linewidth=1.6)
    axes.set_ylim(_lower([percent / 100]), 101)


def _lower(shares: Sequence[Floats]) -> float:
    """Where an axis of attainment begins: below the worst bin, and never so high that a trifle fills the panel."""
    known = np.concatenate([share[np.isfinite(share)] for share in shares])
    return min(94.0, max(0.0, 100 * float(known.min()) - 3)) if len(known) else 0.0


def _pad(axes: Axes, values: Floats) -> None:
    axes.set_ylim(*_range(values[np.isfinite(values)], 0.2))


def _range(values: Floats, margin: float) -> tuple[float, float]:
    """A little more than the values span, and at least one unit."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = max(margin * (high - low), 0.5)
    return low - room, high + room


def _telling(many: int) -> NDArray[np.int64]:
    """Some hundred indices of a sorted array: even ones, and more towards its end, where the tail is."""
    if not many:
        return np.zeros(0, dtype=np.int64)
    even = np.linspace(0, many - 1, 200)
    tail = many - np.geomspace(1, many, 100)
    return np.unique(np.concatenate([even, tail]).astype(np.int64))


def _equal_utility(axes: Axes) -> None:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x = np.linspace(max(left, 1e-3), right, 60)
    for utility in np.linspace(max(left, 1e-3) * bottom, right * top, 7)[1:-1]:
        axes.plot(x, utility / x, color=MUTED, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)


def _places(points: Sequence[Point], axes: Axes, width: int, height: int) -> list[tuple[Point, Label]]:
    """Where each label goes: beside its point, or as near above or below as it is clear of the other labels and points."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    at = {p: ((100 * p.attainment - left) / (right - left) * width, (100 * p.accuracy - bottom) / (top - bottom) * height) for p in points}
    taken = [Box(x - 4, x + 4, y) for x, y in at.values()]
    placed = []
    for point in sorted(points, key=lambda p: (p.series is None, p.series or 0, -p.accuracy)):
        candidates = [(label, _box(label, *at[point], len(point.name))) for label in LABELS]
        free = [(label, box) for label, box in candidates if box.end < width + 20 and not any(box.meets(other) for other in taken)]
        label, box = (free or candidates)[0]
        taken.append(box)
        placed.append((point, label))
    return placed


def _box(label: Label, x: float, y: float, letters: int) -> Box:
    near, far = x + label.dx, x + label.dx + (1 if label.side == "left" else -1) * 6.2 * letters
    return Box(min(near, far), max(near, far), y + label.dy)


def _svg(name: str, width: int, height: int, description: str, draw: Callable[[Figure], None]) -> str:
    """An <svg> of that size with a description for those who cannot see it; the same bytes for the same drawing."""
    # every picture its own salt: two pictures of a page must not share the ids of their clip paths
    style: dict[Any, Any] = {**STYLE, "svg.hashsalt": name}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width / 72, height / 72))
        figure.patch.set_alpha(0)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    opening = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}" width="100%">'
    return re.sub(r"<svg[^>]*>", opening, text, count=1)
