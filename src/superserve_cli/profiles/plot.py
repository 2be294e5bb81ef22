from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from superserve_cli.core import figures
from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.profiles.pareto import front
from superserve_cli.profiles.profile import Profile


def write_plot(path: Path, profile: Profile) -> None:
    """Accuracy against planned latency of every subnet, and the Pareto fronts at the smallest and the largest batch size."""
    name = profile.metadata.get("supernet", "profile")
    title = f"{name} on {profile.metadata.get('device', 'an unknown device')}: {len(profile.subnets)} subnets"

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        colours = dict(zip((profile.smallest, profile.largest), (figures.BLUE, figures.ORANGE), strict=True))
        for size, colour in colours.items():
            _draw_front(axes, profile, size, colour)
        axes.set(title=title, xlabel="planned latency of a batch, ms", ylabel="accuracy, %", xscale="log")
        axes.margins(y=0.1)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", facecolor="white", frameon=True, edgecolor=figures.GRID)

    figures.write(path, title, draw)


def _draw_front(axes: Axes, profile: Profile, batch_size: int, colour: str) -> None:
    def at(subnet: str) -> tuple[float, float]:
        return profile.plan_ns(subnet, batch_size) / NS_PER_MS, 100 * (profile.accuracy(subnet) or 0)

    known = [s for s in profile.subnets if profile.accuracy(s) is not None]
    best = front(profile, batch_size)
    others = [at(s) for s in known if s not in set(best)]
    if others:
        axes.plot(*zip(*others, strict=True), "o", markersize=4, color=colour, alpha=0.22, markeredgewidth=0)
    if best:
        axes.plot(*zip(*map(at, best), strict=True), "o-", color=colour, markersize=5.5, linewidth=1.6, label=f"batch size {batch_size}")
    if best:
        _label(axes, best[0], at(best[0]), (-4, -13), "left")
        _label(axes, best[-1], at(best[-1]), (6, 12), "right")


def _label(axes: Axes, text: str, at: tuple[float, float], offset: tuple[int, int], side: str) -> None:
    axes.annotate(text, at, offset, textcoords="offset points", ha=side, va="center", color=figures.MUTED, fontsize=8)
