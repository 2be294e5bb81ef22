from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or a comparison folder that holds some.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the report; a comparison needs it.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the report of one RUN into its folder, or compare several of them in --out."""
    from superserve_cli import console, reports

    summary, folder = reports.report(runs, out)
    if json:
        console.as_json(summary)
    else:
        console.table(
            "", reports.NARROW, reports.narrow_rows(summary.get("policies", [summary])), caption="\n".join(summary.get("notes", []))
        )
    for problem in summary.get("problems", []):
        console.warn(problem)
    if folder:
        console.note(f"report: {folder / 'report.html'}")
    else:
        console.note("nothing written: name a folder with --out to keep the comparison")
