from pathlib import Path
from typing import Annotated

import typer

from superserve_cli.commands.options import (
    LateOption,
    MixOption,
    PolicyOption,
    ProfileOption,
    ServiceOption,
    SloOption,
    SubnetsOption,
)

TRACE = "azure (synthetic), azure:FILE, poisson, bursty[:CV2]; file:PATH to find the fewest workers."


def capacity(
    trace: Annotated[str, typer.Option(help=TRACE, show_default=False)],
    profile: ProfileOption = None,
    policy: PolicyOption = None,
    workers: Annotated[int | None, typer.Option(help="Find the largest rate on so many workers.", show_default="8")] = None,
    mean_qps: Annotated[
        float | None, typer.Option(help="Find the fewest workers for so many requests per second.", show_default=False)
    ] = None,
    attainment: Annotated[float, typer.Option(help="The share of the requests that must be met.")] = 0.999,
    slo_ms: SloOption = None,
    late: LateOption = "shed",
    service: ServiceOption = None,
    subnets: SubnetsOption = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of trace to generate for each seed.", show_default="60")] = None,
    mix: MixOption = None,
    seeds: Annotated[int, typer.Option(help="How many seeds to search on; as many others confirm.")] = 3,
    out: Annotated[Path | None, typer.Option(help="A folder for capacity.json, capacity.svg and report.md.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace these files where they exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the largest rate that each policy carries, or the fewest workers for a rate.

    A load is carried when the requests of all seeds together reach the attainment. Rates are found to within 1 %. A policy that
    reaches it nowhere is a result, not an error.
    """
    from superserve_cli import console, policies, profiles, traces
    from superserve_cli.core import files
    from superserve_cli.engine.simulator import warm_up
    from superserve_cli.studies.capacity import answers, asked
    from superserve_cli.studies.capacity.search import find_all

    served = profiles.load(profile).served(subnets)
    chosen = [policies.named(spec) for spec in policy] if policy else policies.every(served)
    for decides in chosen:
        policies.compile(decides, served, workers or 1)  # a policy that cannot be served is refused before any work is done
    for name in answers.NAMES if out else ():
        files.claim((out or Path()) / name, overwrite)
    search = asked.ask(
        trace,
        served,
        workers=workers,
        mean_qps=mean_qps,
        mix=None if mix is None else traces.read_mix(mix),
        duration_s=duration,
        seeds=seeds,
        slo_ns=served.default_slo_ns() if slo_ms is None else traces.slo_ns(slo_ms),
        late=late,
        service=service,
        attainment=attainment,
    )
    with console.waiting("compiling the simulator (the first time only)"):
        warm_up()
    with console.progress("searching") as progress:
        found = find_all(search.question, chosen, search.ladder, progress)
    if out:
        answers.write(out, search, found)
    if json:
        console.as_json(answers.as_json(search, found))
    else:
        console.table(
            answers.title(search), answers.columns(search), answers.rows(search, found), "\n".join(answers.remarks(search, found))
        )
    if out:
        console.note(f"report: {out / 'report.md'}")
