"""Folds over outcomes, and what is made of them: summaries, pages, comparisons, verdicts."""

from superserve_cli.reports.folders import claim_folder, find_runs, read_run, write_comparison, write_report, write_run
from superserve_cli.reports.run import Run, folder_name
from superserve_cli.reports.summary import summarize

__all__ = ["Run", "claim_folder", "find_runs", "folder_name", "read_run", "summarize", "write_comparison", "write_report", "write_run"]
