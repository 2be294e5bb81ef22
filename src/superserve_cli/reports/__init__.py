"""Folds over outcomes, and what is made of them: summaries, pages, comparisons, verdicts."""

from superserve_cli.reports.comparison import NARROW, narrow_rows
from superserve_cli.reports.contents import Contents, contents
from superserve_cli.reports.folders import (
    claim_folder,
    find_runs,
    read_run,
    replaced,
    report,
    write_comparison,
    write_report,
    write_run,
)
from superserve_cli.reports.rejections import rejected
from superserve_cli.reports.run import Run, folder_name, refuse_shared_folders
from superserve_cli.reports.summary import summarize
from superserve_cli.reports.tenants import NARROW as TENANTS
from superserve_cli.reports.tenants import narrow as tenant_rows
from superserve_cli.reports.verdict import COLUMNS as VERDICT
from superserve_cli.reports.verdict import Verdict, judge

__all__ = [
    "NARROW",
    "TENANTS",
    "VERDICT",
    "Contents",
    "Run",
    "Verdict",
    "claim_folder",
    "contents",
    "find_runs",
    "folder_name",
    "judge",
    "narrow_rows",
    "read_run",
    "refuse_shared_folders",
    "rejected",
    "replaced",
    "report",
    "summarize",
    "tenant_rows",
    "write_comparison",
    "write_report",
    "write_run",
]
