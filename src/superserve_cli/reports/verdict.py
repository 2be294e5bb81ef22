from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from superserve_cli.errors import BadFile
from superserve_cli.reports import comparable, folders, regression
from superserve_cli.reports.comparable import Other
from superserve_cli.reports.markdown import table
from superserve_cli.reports.notes import of_accuracies
from superserve_cli.reports.run import Run
from superserve_cli.reports.summary import summarize

SCHEMA: Final = "compare/1"
COLUMNS: Final = ("metric", "base", "head", "difference", "matters")
MATTERS: Final = {True: "yes", False: "no", None: ""}


@dataclass(frozen=True)
class Verdict:
    """Two comparable runs: their differences, and which limits the head breaks."""

    base: Mapping[str, Any]
    head: Mapping[str, Any]
    others: Sequence[Other]
    warnings: Sequence[str]
    limits: int
    failures: Sequence[str]

    @property
    def title(self) -> str:
        """The policies that are compared."""
        return " -> ".join(dict.fromkeys((self.base["policy"], self.head["policy"])))

    @property
    def complaint(self) -> str:
        """All broken limits in one line."""
        return f"{len(self.failures)} of {self.limits} conditions failed: {'; '.join(self.failures)}"

    def rows(self) -> list[tuple[str, ...]]:
        """The table under COLUMNS: what else differs, then the figures. `matters`: outside the other run's interval."""
        named = [(other.what, comparable.shown(other.base), comparable.shown(other.head), "", "") for other in self.others]
        return named + [_row(row) for row in regression.differences(self.base, self.head)]

    @property
    def notes(self) -> list[str]:
        """What a reader of the table must know."""
        return of_accuracies([self.base, self.head])

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain data; `outside_interval` is null where a metric has no interval."""
        figures = regression.differences(self.base, self.head)
        return {
            "schema": SCHEMA,
            "base": self.base,
            "head": self.head,
            "different": [other._asdict() for other in self.others],
            "metrics": [
                {"metric": f.metric, "base": f.base, "head": f.head, "difference": f.difference, "outside_interval": f.matters}
                for f in figures
            ],
            "notes": self.notes,
            "failures": list(self.failures),
            "ok": not self.failures,
        }

    def to_markdown(self) -> str:
        """The verdict for a pull request."""
        outcome = self.complaint if self.failures else f"{self.limits} of {self.limits} conditions hold" if self.limits else ""
        parts = [f"### superserve compare: {self.title}", outcome, table(COLUMNS, self.rows()), *self.notes]
        return "\n\n".join(filter(None, parts)) + "\n"

    def append_to(self, path: Path) -> None:
        """Add the Markdown to the end of a file, as CI systems collect it; raises BadFile."""
        try:
            with path.open("a", encoding="utf-8") as summary:
                summary.write(self.to_markdown())
        except OSError as error:
            raise BadFile(f"cannot write {path}: {error.strerror}", hint="GITHUB_STEP_SUMMARY names it") from error


def judge(base: Path, head: Path, fail_on: Sequence[str], allow_different: Sequence[str]) -> Verdict:
    """Compare two run folders. Raises BadOption for a bad condition, BadFile for what is no run, NotComparable."""
    limits = [regression.limit(text) for text in fail_on]
    allowed = comparable.allowances(allow_different)
    before, after = folders.read_run(base), folders.read_run(head)
    found = comparable.others(before, after)
    comparable.check(found, allowed)
    was, now = summarize(before), summarize(after)
    failures = [complaint for limit in limits if (complaint := limit.complaint(was, now))]
    return Verdict(was, now, found, [*_invalid("BASE", before), *_invalid("HEAD", after)], len(limits), failures)


def _invalid(which: str, run: Run) -> list[str]:
    if run.manifest.get("valid", True):
        return []
    return [f"{which} is an invalid run: {'; '.join(map(str, run.manifest.get('problems') or ['no reason given']))}"]


def _row(row: regression.Difference) -> tuple[str, ...]:
    values = (regression.written(row.metric, value) for value in (row.base, row.head))
    return (row.metric, *values, regression.changed(row), MATTERS[row.matters])
