from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from superserve_cli.conformance.case import Case
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import FAIL, NOT_OFFERED, PASS, Verdict

SCHEMA: Final = "conformance/1"
RESULTS: Final = ("case", "group", "result")
FAILURES: Final = ("failed case", "expected", "came")


@dataclass(frozen=True, slots=True)
class Row:
    """A case and what came of it."""

    case: Case
    verdict: Verdict

    @property
    def failed(self) -> bool:
        """Whether a required case failed."""
        return self.case.required and self.verdict.result == FAIL

    def to_json(self) -> dict[str, Any]:
        """The row as plain data."""
        case, verdict = self.case, self.verdict
        return {
            "case": case.name,
            "group": case.group,
            "required": case.required,
            "sentence": case.sentence,
            "result": verdict.result,
            "expected": verdict.expected or None,
            "came": verdict.came or None,
            "note": verdict.note or None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all cases against one model of one server."""

    target: Target
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Who was checked."""
        return f"{self.target.server}, model {self.target.name}"

    @property
    def counts(self) -> dict[str, int]:
        """Cases by result, and how many required ones failed."""
        found = Counter(row.verdict.result for row in self.rows)
        return {**{result: found[result] for result in (PASS, FAIL, NOT_OFFERED)}, "required and failed": len(self.failed)}

    @property
    def failed(self) -> list[Row]:
        """The required cases that failed."""
        return [row for row in self.rows if row.failed]

    @property
    def summary(self) -> str:
        """The counts in one line."""
        return ", ".join(f"{count} {result}" for result, count in self.counts.items())

    def results(self) -> list[tuple[str, ...]]:
        """The table under RESULTS."""
        return [(row.case.name, row.case.group, _result(row)) for row in self.rows]

    def failures(self) -> list[tuple[str, ...]]:
        """The table under FAILURES."""
        return [(f"{row.case.group}: {row.case.name}", row.verdict.expected, row.verdict.came) for row in self.rows if row.verdict.expected]

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "schema": SCHEMA,
            "server": self.target.server,
            "model": self.target.name,
            "extensions": sorted(self.target.extensions),
            "counts": self.counts,
            "cases": [row.to_json() for row in self.rows],
        }


def _result(row: Row) -> str:
    return row.verdict.result if row.case.required or row.verdict.result != FAIL else f"{FAIL} (optional)"
