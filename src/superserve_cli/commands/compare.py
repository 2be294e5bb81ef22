import os
from pathlib import Path
from typing import Annotated

import typer

from superserve_cli.errors import Regression

FAIL_ON = "What fails the comparison: attainment:-0.5pp, p99_ms:5% (worse than BASE by more), accuracy<0.78 (of HEAD). Repeatable."
ALLOW = "What may differ besides: policy, profile, subnets, workers, kind, service, hardware, or all; separated by commas."


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The run folder to compare with.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="The run folder to judge.")],
    fail_on: Annotated[list[str] | None, typer.Option(metavar="EXPR", help=FAIL_ON, show_default=False)] = None,
    allow_different: Annotated[list[str] | None, typer.Option(metavar="WHAT,...", help=ALLOW, show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what differs between two runs of one trace; exit with 3 when HEAD is worse than --fail-on allows.

    Runs are comparable when trace, SLO and late rule agree; any other difference exits with 2 unless --allow-different names it.
    """
    from superserve_cli import console, reports

    verdict = reports.judge(base, head, fail_on or [], allow_different or [])
    if json:
        console.as_json(verdict.to_json())
    else:
        console.table(verdict.title, reports.VERDICT, verdict.rows(), caption="\n".join(verdict.notes))
    for warning in verdict.warnings:
        console.warn(warning)
    if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        verdict.append_to(Path(step_summary))
    if verdict.failures:
        raise Regression(verdict.complaint)
