"""`superserve tune`: which decision table is best on traces like these."""

from superserve_cli.studies.tuning.courses import Course
from superserve_cli.studies.tuning.judging import Judge, Score, Setting
from superserve_cli.studies.tuning.search import Search, Tuned, check, judges, tune
from superserve_cli.studies.tuning.tuned import COLUMNS, announced, rows, told

__all__ = ["COLUMNS", "Course", "Judge", "Score", "Search", "Setting", "Tuned", "announced", "check", "judges", "rows", "told", "tune"]
