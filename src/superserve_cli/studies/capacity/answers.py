"""What a search for capacity found, for people and for programs: rows, JSON, a page, a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from superserve_cli.core import figures, files
from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.reports import markdown, notation
from superserve_cli.studies.capacity.asked import RATE, WORKERS, Asked
from superserve_cli.studies.capacity.search import STEP, Found, Load, Tally

SCHEMA: Final = "capacity/1"
NAMES: Final = ("capacity.json", "capacity.svg", "report.md")
AMOUNT: Final = {RATE: "rate\n1/s", WORKERS: "work-\ners"}
FIGURES: Final = ("met\n%", "acc.\n%", "util.\n%", "fresh\n%")
PLACES: Final = 3
NOBODY: Final = "none"
COLOURS: Final = (figures.BLUE, figures.ORANGE, "#16a34a", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#db2777", "#4d7c0f", "#92400e")
QUIET: Final = "fixed:"
"""Policies that stand in the background of the picture."""
METHOD: Final = {
    RATE: "Rates were tried in steps of 1 %. The next one above each answer was tried too, and misses the limit.",
    WORKERS: "One worker fewer than each answer was tried too, and misses the limit.",
}
METHOD_OF_BOTH: Final = (
    "What must reach the limit is the share of the *met* among the requests of all seeds together. *By seed*: the lowest and the highest"
    " answer that a single seed would have given. *Fresh*: the attainment on as many seeds that the search has not seen."
)


def columns(asked: Asked) -> tuple[str, ...]:
    """The head of the table, for a terminal of 80 columns."""
    return ("policy", AMOUNT[asked.search], "by seed", *FIGURES)


def rows(asked: Asked, found: Sequence[Found]) -> list[tuple[str, ...]]:
    """The rows of the table."""
    return [
        (
            one.policy,
            _answer(asked, one),
            _by_seed(asked, one),
            _bare(one.tally.attainment, PLACES),
            _bare(one.tally.accuracy, 2),
            _bare(one.tally.utility, 2),
            _bare(None if one.fresh is None else one.fresh.attainment, PLACES),
        )
        for one in found
    ]


def remarks(asked: Asked, found: Sequence[Found]) -> list[str]:
    """What the table does not say: who reaches the limit nowhere, whose search ended before it was missed, whom fresh seeds refute."""
    lightest = _amount(asked, asked.ladder.load(asked.ladder.lightest))
    nowhere = {
        RATE: f"{NOBODY}: below {_limit(asked)} even at {lightest} requests/s, the lowest rate that was tried",
        WORKERS: f"{NOBODY}: below {_limit(asked)} even on {lightest} workers, the most that were tried",
    }
    highest = "≥: reaches the limit at the highest rate that was tried"
    out_of_reach = [
        f"{one.policy} rejects {notation.percent(one.tally.rejected / one.tally.requests)} of the requests even there: "
        "no subnet for their floor or size, or its own admission"
        for one in found
        if one.at is None and one.tally.rejected
    ]
    refuted = [one.policy for one in found if one.at and one.fresh and one.fresh.attainment < asked.question.attainment]
    return [
        *([nowhere[asked.search]] if any(one.at is None for one in found) else []),
        *out_of_reach,
        *([highest] if any(_ended(asked, one) for one in found) else []),
        *([f"fresh seeds miss the limit under {', '.join(refuted)}: more --seeds or a longer --duration say more"] if refuted else []),
    ]


def as_json(asked: Asked, found: Sequence[Found]) -> dict[str, Any]:
    """Everything that was found, as it stands in `capacity.json`."""
    question = asked.question
    return {
        "schema": SCHEMA,
        "search": asked.search,
        "attainment": question.attainment,
        "tolerance": round(STEP - 1, 6) if asked.search == RATE else 0.0,
        "slo_ns": question.slo_ns,
        "late": question.late,
        "service": question.service,
        "duration_s": question.duration_s,
        "seeds": list(question.seeds),
        "fresh_seeds": list(question.fresh),
        **asked.about,
        "policies": [_as_json(asked, one) for one in found],
    }


def write(folder: Path, asked: Asked, found: Sequence[Found]) -> None:
    """The files of NAMES in a folder, each whole or absent."""
    data, picture, page = (folder / name for name in NAMES)
    files.write_json(data, as_json(asked, found))
    write_plot(picture, asked, found)
    files.write_text(page, report(asked, found))


def report(asked: Asked, found: Sequence[Found]) -> str:
    """`report.md`."""
    parts = [
        f"# {title(asked)}",
        markdown.table([column.replace("-\n", "").replace("\n", " ") for column in columns(asked)], rows(asked, found)),
        *remarks(asked, found),
        f"![Attainment over the load, of each policy]({NAMES[1]})",
        METHOD[asked.search],
        METHOD_OF_BOTH,
        "## What was run",
        markdown.table(("", ""), _facts(asked)),
    ]
    return "\n\n".join(parts) + "\n"


def title(asked: Asked) -> str:
    """What was asked for, in a line."""
    if asked.search == RATE:
        workers = asked.about["workers"]
        return f"The largest rate on {workers} worker{'s' * (workers != 1)} at an attainment of {_limit(asked)}"
    return f"The fewest workers for {asked.about['mean_qps']:,.6g} requests/s at an attainment of {_limit(asked)}"


def write_plot(path: Path, asked: Asked, found: Sequence[Found]) -> None:
    """Attainment over the load for each policy, at every load that was tried, and the limit."""
    limit = asked.question.attainment

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        quiet = [one for one in found if one.policy.startswith(QUIET)]
        for i, one in enumerate(quiet):
            axes.plot(*_curve(asked, one), "o-", color=figures.MUTED, alpha=0.5, linewidth=0.8, markersize=2, label="_" * i + f"{QUIET}…")
        for i, one in enumerate(one for one in found if one not in quiet):
            # the later ones are thinner, so that no line hides another
            axes.plot(
                *_curve(asked, one),
                "o-",
                color=COLOURS[i % len(COLOURS)],
                linewidth=max(1.0, 2.6 - i / 4),
                markersize=3.5,
                label=one.policy,
            )
        axes.axhline(100 * limit, color=figures.INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(title=title(asked), xlabel="requests per second" if asked.search == RATE else "workers", ylabel="attainment, %")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(max(0.0, 100 - 20 * max(0.5, 100 * (1 - limit))), 100.2)
        axes.legend(loc="lower left", facecolor="white", frameon=True, edgecolor=figures.GRID, fontsize=8)

    figures.write(path, title(asked), draw)


def _curve(asked: Asked, one: Found) -> tuple[list[float], list[float]]:
    """Loads, and the attainment at each in per cent."""
    loads = [load.qps if asked.search == RATE else load.workers for load, _ in one.tried]
    return loads, [100 * tally.attainment for _, tally in one.tried]


def _facts(asked: Asked) -> list[tuple[str, str]]:
    question, profile = asked.question, asked.about["profile"]
    return [
        ("Trace", str(asked.about["trace"])),
        *([("Mix", str(asked.about["mix"]))] if asked.about["mix"] else []),
        ("Profile", ", ".join(str(part)[:12] for part in (profile["name"], profile["hash"]) if part)),
        ("SLO", f"{question.slo_ns / NS_PER_MS:g} ms"),
        ("Late rule", question.late),
        ("Service", question.service),
        ("Duration", f"{question.duration_s:g} s"),
        ("Seeds", ", ".join(map(str, question.seeds))),
        ("Fresh seeds", ", ".join(map(str, question.fresh)) or "none: nothing is random"),
        ("Command", " ".join(asked.about["command"])),
    ]


def _as_json(asked: Asked, one: Found) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "found": one.at is not None,
        **_figures(one.at, one.tally),
        "by_seed": [load and (load.qps if asked.search == RATE else load.workers) for load in one.alone],
        "attainment_by_seed": [tally.attainment for tally in one.by_seed],
        "fresh_attainment": one.fresh and one.fresh.attainment,
        "next": one.beyond and _figures(*one.beyond),
        "tried": [_figures(load, tally) for load, tally in one.tried],
    }


def _figures(load: Load | None, tally: Tally) -> dict[str, float | None]:
    return {
        "qps": load and load.qps,
        "workers": load and load.workers,
        "attainment": tally.attainment,
        "accuracy": tally.accuracy,
        "utility": tally.utility,
        "rejected": tally.rejected / tally.requests,
    }


def _limit(asked: Asked) -> str:
    return f"{100 * asked.question.attainment:.6g} %"


def _ended(asked: Asked, one: Found) -> bool:
    """Whether the search ran out of rates; a single worker is no such end."""
    return asked.search == RATE and one.at is not None and one.beyond is None


def _answer(asked: Asked, one: Found) -> str:
    return NOBODY if one.at is None else f"{'≥ ' * _ended(asked, one)}{_amount(asked, one.at)}"


def _by_seed(asked: Asked, one: Found) -> str:
    """From the lowest answer to the highest; that of a seed for which there is none is the worst."""
    loads = [load for load in one.alone if load is not None]
    ends = [_amount(asked, load) for load in (min(loads), max(loads))] if loads else [NOBODY]
    worst = [NOBODY] if len(loads) < len(one.alone) else []
    return "–".join(dict.fromkeys([*worst, *ends] if asked.search == RATE else [*ends, *worst]))


def _amount(asked: Asked, load: Load) -> str:
    return f"{load.qps:,.6g}" if asked.search == RATE else f"{load.workers:,}"


def _bare(share: float | None, places: int) -> str:
    return notation.percent(share, places).removesuffix(" %")
