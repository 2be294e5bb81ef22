"""Several runs side by side: ranked by utility, in the same words on the terminal, in Markdown and on the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from superserve_cli.reports import notation
from superserve_cli.reports.comparable import mixed
from superserve_cli.reports.notes import notes
from superserve_cli.reports.run import Run, labels
from superserve_cli.reports.summary import summarize as summarize_run

SCHEMA: Final = "comparison/1"
COLUMNS: Final = ("policy", "attainment", "interval", "accuracy", "utility", "gap pp", "p50/p99 ms", "met/late/dropped")
NARROW: Final = ("policy", "attainment\n±, %", "acc.\n%", "util.\n%", "gap\npp", "p99\nms", "late\n%")
"""COLUMNS for a terminal of 80 columns: who was neither met nor late got no answer."""
Row = tuple[str, ...]


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """The summaries of the runs under their labels, as they stand in a comparison's `summary.json`, and their ranking by utility."""
    policies = [{**summarize_run(run), "policy": label} for run, label in zip(runs, labels(runs), strict=True)]
    ranked = sorted(policies, key=_rank)
    return {
        "schema": SCHEMA,
        "policies": ranked,
        "ranking": [summary["policy"] for summary in ranked],
        "problems": mixed(runs),
        "notes": notes(runs, ranked),
    }


def _rank(summary: Mapping[str, Any]) -> tuple[float, float, str]:
    """Highest utility first, then attainment, then the name; an unknown utility comes last."""
    utility, attainment = summary["utility"], summary["attainment"]
    return (math.inf if utility is None else -utility, -(attainment or 0.0), summary["policy"])


def rows(summaries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of the table under COLUMNS."""
    return [_row(summary) for summary in summaries]


def _row(summary: Mapping[str, Any]) -> Row:
    return (
        summary["policy"],
        notation.percent(summary["attainment"]),
        notation.interval(summary["attainment_low"], summary["attainment_high"]).removesuffix(" %"),
        notation.percent(summary["accuracy"]),
        notation.percent(summary["utility"]),
        notation.points(summary["gap"]),
        f"{notation.milliseconds(summary['p50_ms'])}/{notation.milliseconds(summary['p99_ms'])}",
        "/".join(notation.short_count(number) for number in (summary["met"], summary["late"], unserved(summary))),
    )


def narrow_rows(summaries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of the table under NARROW."""
    return [_narrow_row(summary) for summary in summaries]


def _narrow_row(summary: Mapping[str, Any]) -> Row:
    all_of_them = max(1, summary["requests"])
    low, high = summary["attainment_low"], summary["attainment_high"]
    # an interval that ends at 100 % is cut there: its longer half is the honest one
    half = "" if low is None else f" ±{100 * max(summary['attainment'] - low, high - summary['attainment']):.2f}"
    return (
        summary["policy"],
        notation.points(summary["attainment"]) + half,
        *(notation.points(summary[share]) for share in ("accuracy", "utility", "gap")),
        notation.milliseconds(summary["p99_ms"]),
        f"{100 * summary['late'] / all_of_them:.1f}",
    )


def unserved(summary: Mapping[str, Any]) -> int:
    """Requests that never got an answer: dropped, rejected or failed."""
    return int(summary["dropped"] + summary["rejected"] + summary["failed"])
