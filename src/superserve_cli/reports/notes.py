"""What a reader of a table of runs must know to read its figures right."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from superserve_cli.reports import notation
from superserve_cli.reports.run import Run

COMPARABLE: Final = 0.9999
"""From this attainment on, accuracies over the met requests compare: below it, whoever drops the most has the easiest task."""


def notes(runs: Sequence[Run], summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence each: what the gaps are to, and which accuracies do not compare."""
    return [*_of_bounds(runs), *of_accuracies(summaries)]


def of_accuracies(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rule for comparing accuracies, where a run falls short of it."""
    enough = sum((summary["attainment"] or 0.0) >= COMPARABLE for summary in summaries)
    if enough == len(summaries):
        return []
    return [f"Accuracies compare only at {notation.percent(COMPARABLE)} attainment or more, which {enough} of {len(summaries)} runs reach."]


def bound(run: Run) -> str:
    """The bound on a run's utility in words; nothing where none is known."""
    known = run.manifest.get("utility_bound")
    return "" if known is None else f"{notation.percent(known)}: no scheduler can pass it{_how(run)}"


def _of_bounds(runs: Sequence[Run]) -> Iterator[str]:
    found = {bound(run): _how(run) for run in runs if bound(run)}
    if len(found) == 1:
        yield f"Bound on utility {next(iter(found))}."
    elif found:
        yield f"The gap is to each run's own bound on utility{max(found.values())}."


def _how(run: Run) -> str:
    return " (loose: it charges the fastest measured times)" if run.manifest.get("service") == "measured" else ""
