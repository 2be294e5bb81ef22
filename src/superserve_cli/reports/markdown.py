"""Reports as Markdown: the same figures as on the page, for pull requests and diffs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from superserve_cli.reports import comparison, described, notation, rejections, tenants
from superserve_cli.reports.run import Run

MOST_TENANTS = 5
"""Of each policy of a comparison; a run's own report has all."""


def of_run(run: Run, summary: Mapping[str, Any]) -> str:
    """`report.md` of one run."""
    parts = [
        f"# {_cell(run.policy)}: {notation.percent(summary['attainment'])} of {notation.count(summary['requests'])} requests in time",
        verdict(run),
        *_rejections([run]),
        table(("Figure", "Value"), figures(summary)),
        "## What was run",
        table(("", ""), described.facts(run)),
        _shares("Batch sizes", "batch size", summary["batch_sizes"]),
        _shares("Subnets", "subnet", summary["subnets"]),
        _tenants(tenants.COLUMNS, tenants.rows(summary.get("tenants", {}))),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def of_comparison(runs: Sequence[Run], summary: Mapping[str, Any]) -> str:
    """`report.md` of several runs."""
    parts = [
        "# Comparison, ranked by utility",
        *(f"> **NOT COMPARABLE**: {_cell(problem)}" for problem in summary["problems"]),
        *(verdict(run) for run in runs),
        *_rejections(runs),
        table(comparison.COLUMNS, comparison.rows(summary["policies"])),
        *summary["notes"],
        _tenants(tenants.COMPARED, tenants.compared(summary["policies"], MOST_TENANTS)),
        "## What was run",
        table(("", ""), described.common(list(runs))),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def verdict(run: Run) -> str:
    """A warning for a run that does not prove anything; nothing for a valid one."""
    if run.manifest.get("valid", True):
        return ""
    return f"> **INVALID** ({_cell(run.policy)}): {_cell('; '.join(map(str, run.manifest.get('problems') or ['no reason given'])))}"


def figures(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headline figures of a run, in words."""
    known: list[tuple[str, str]] = [
        ("SLO attainment", _with_interval(summary, "attainment")),
        ("Accuracy over met", _with_interval(summary, "accuracy")),
        ("Utility", _with_interval(summary, "utility")),
        *([("Gap to the bound", f"{notation.points(summary['gap'])} pp")] if summary["gap"] is not None else []),
        *((f"p{percent} latency", milliseconds(summary[f"p{percent}_ms"])) for percent in (50, 95, 99)),
        ("Mean queue time", milliseconds(summary["queue_ms"], notation.UNKNOWN)),
        ("Mean service time", milliseconds(summary["service_ms"], notation.UNKNOWN)),
        *((status.capitalize(), notation.count(summary[status])) for status in ("met", "late", "dropped", "rejected", "failed")),
        ("Answered per second", _rate(summary["throughput_qps"])),
        ("Met per second", _rate(summary["goodput_qps"])),
    ]
    return known + _of_live(summary)


def _of_live(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that only live runs have."""
    rows = []
    if "measured_accuracy" in summary:
        measured = f"{notation.percent(summary['measured_accuracy'])} ± {100 * summary['measured_accuracy_stderr']:.2f}"
        rows.append(("Measured accuracy", f"{measured} (profiled: {notation.percent(summary['expected_accuracy'])})"))
    if "lag_p99_ms" in summary:
        lag = (notation.milliseconds(summary[name], notation.UNKNOWN) for name in ("lag_p50_ms", "lag_p99_ms"))
        rows.append(("Load generator's lag, p50 / p99", " / ".join(lag) + " ms"))
    return rows


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table: the first column to the left, the rest to the right unless there are only two."""
    aligned = [":--", *(["--:"] * (len(columns) - 1) if len(columns) > 2 else [":--"] * (len(columns) - 1))]
    lines = [columns, aligned, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _cell(value: object) -> str:
    """Text that cannot break out of its cell or become HTML."""
    text = " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("`", "\\`")


def _shares(title: str, column: str, shares: Mapping[str, float]) -> str:
    if not shares:
        return ""
    rows = ((name, notation.percent(share)) for name, share in shares.items())
    return f"## {title}\n\n{table((column, 'share of the requests that ran'), rows)}"


def _tenants(columns: Sequence[str], rows: Sequence[tenants.Row]) -> str:
    return f"## Tenants\n\n{table(columns, rows)}" if rows else ""


def _rejections(runs: Sequence[Run]) -> list[str]:
    return [f"> {_cell(sentence)}" for sentence in rejections.rejected(runs)]


def _with_interval(summary: Mapping[str, Any], name: str) -> str:
    low, high = summary[f"{name}_low"], summary[f"{name}_high"]
    return notation.percent(summary[name]) + ("" if low is None else f" (95 %: {notation.interval(low, high)})")


def milliseconds(ms: float | None, missing: str = notation.INFINITE) -> str:
    """A time with its unit, or what stands for a missing one."""
    text = notation.milliseconds(ms, missing)
    return text if ms is None else f"{text} ms"


def _rate(per_second: float | None) -> str:
    return notation.UNKNOWN if per_second is None else f"{per_second:,.1f}"
