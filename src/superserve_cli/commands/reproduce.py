from pathlib import Path
from typing import Annotated

import typer

NAMES = "maf, bursty, time-varying, policies, dynamics, faults, workers, buckets, actuation"


def reproduce(
    experiment: Annotated[
        list[str] | None, typer.Argument(metavar="[EXPERIMENT]...", help=f"{NAMES} (default: all of them).", show_default=False)
    ] = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="A profile; repeatable.", show_default="modelled, modelled-flat and cpu")
    ] = None,
    late: Annotated[list[str] | None, typer.Option(help="A late rule; repeatable.", show_default="shed, drop and serve")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds, from 0.", show_default="3")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds of what lasts 60 s; MAF lasts twice as long, workers a sixth.", show_default="60")
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="fixed or measured.", show_default="fixed, and measured where a profile has quantiles")
    ] = None,
    azure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A real invocation file of Azure Functions 2019, for MAF.", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed of 3 s, profile modelled, late rule shed.")] = False,
    processes: Annotated[int | None, typer.Option(min=1, help="How many at once.", show_default="one per core")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("runs/reproduction"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew in a folder of other settings.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the SuperServe paper's experiments, and say which of its claims hold.

    Writes reproduction.md with pictures, and reproduction.json with every cell. After Ctrl-C the same command goes on.
    """
    import os

    from superserve_cli import console
    from superserve_cli.studies import reproduction

    asked = reproduction.ask(
        experiment or [], profile=profile, late=late, seeds=seeds, duration_s=duration, service=service, azure=azure, quick=quick
    )
    reproduction.claim_folder(out, overwrite)
    store = reproduction.Store(out, asked.settings(), overwrite)
    with console.progress("reproducing") as progress:
        reproduction.run(asked, store, processes or os.cpu_count() or 1, progress)
    found = reproduction.results(asked, store)
    reproduction.write(found, out)
    if json:
        console.as_json(reproduction.as_json(found))
    else:
        console.table("", *reproduction.summary(found, short=True))
    for run in store.runs[-1:]:
        console.note(f"{run['cells']} simulations of {run['requests']:,} requests: {run['wall_s']:.1f} s, {run['processes']} processes")
    console.note(f"report: {out / 'reproduction.md'}")
