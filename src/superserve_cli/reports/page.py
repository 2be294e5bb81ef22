from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from superserve_cli.reports import markdown
from superserve_cli.reports.run import Run


def of_run(run: Run, summary: Mapping[str, Any]) -> str:
    """`report.html` of one run."""
    return f"<!doctype html><meta charset='utf-8'><pre>{escape(markdown.of_run(run, summary))}</pre>"


def of_comparison(runs: Sequence[Run], summary: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """`report.html` of several runs."""
    return f"<!doctype html><meta charset='utf-8'><pre>{escape(markdown.of_comparison(runs, summary))}</pre>"
