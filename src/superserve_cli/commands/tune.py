from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superserve_cli.commands.options import (
    DEFAULT_WORKERS,
    LOAD,
    LateOption,
    ProfileOption,
    ServiceOption,
    SloOption,
    SubnetsOption,
)

if TYPE_CHECKING:
    from superserve_cli.studies.tuning import Setting

TRACE = (
    "What to train on, repeatable: a trace as in `replay`; or grid, the paper's nine bursty traces at the same utilisation "
    "(grid:X: at X times its rates)."
)


def tune(
    profile: ProfileOption = None,
    trace: Annotated[list[str] | None, typer.Option(help=TRACE, show_default="bursty")] = None,
    workers: Annotated[int, typer.Option(help="How many workers.")] = DEFAULT_WORKERS,
    slo_ms: SloOption = None,
    late: LateOption = "shed",
    service: ServiceOption = None,
    subnets: SubnetsOption = None,
    load: Annotated[list[float] | None, typer.Option(help=f"{LOAD[:-1]}; repeatable].", show_default=False)] = None,
    mean_qps: Annotated[
        list[float] | None, typer.Option(help="Offered requests per second, instead of --load; repeatable.", show_default=False)
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of each trace to generate.", show_default="60")] = None,
    seeds: Annotated[
        int, typer.Option(help="How many seeds of each trace to train on, and as many more to validate on.", min=1, max=100)
    ] = 3,
    seed: Annotated[int, typer.Option(help="The first seed of the traces, and that of the search.", min=0)] = 0,
    attainment: Annotated[
        float, typer.Option(help="The least attainment on each trace; only then does utility count.", min=0, max=1)
    ] = 0.9999,
    start: Annotated[
        str | None, typer.Option(help="The policy to start from.", show_default="the best of price:K, slackfit:K, max-batch, max-accuracy")
    ] = None,
    budget: Annotated[int, typer.Option(help="How many tables to try; 0 only compares policies.", min=0)] = 500,
    out: Annotated[Path | None, typer.Option(help="Where the policy file goes.", show_default="policy.json")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search for the policy that is best on your traces, and write it as a file that serve and replay take as --policy.

    It begins with the best of the built-in policies on training traces, and then improves its decision table patch by patch; traces
    of other seeds decide whether that was worth it. Ctrl-C during the search writes the best table so far.
    """
    from superserve_cli import console, policies
    from superserve_cli.core import files
    from superserve_cli.studies import tuning

    path = out or Path("policy.json")
    if budget:
        files.claim(path, overwrite)
    setting = _setting(profile, workers, slo_ms, late, service, subnets, attainment)
    tuning.check(setting, start)
    course = tuning.Course(trace or ["bursty"], load or (), mean_qps or (), duration, seed, seeds)
    training, validation = tuning.judges(setting, course)
    console.note(tuning.announced(training))
    with console.waiting("compiling the simulator (the first time only)"):
        from superserve_cli.engine.simulator import warm_up

        warm_up()
    with console.progress("tuning") as progress:
        found = tuning.tune(training, validation, start=start, budget=budget, seed=seed, progress=progress)
    told = tuning.told(found, training, validation)
    if budget:
        policies.save(path, found.table, workers=workers, slo_ns=setting.slo_ns, provenance={**told, "course": asdict(course)})
    if json:
        console.as_json({"out": str(path) if budget else None, **told})
    else:
        console.table("", tuning.COLUMNS, tuning.rows(told))
    if budget:
        console.note(f"written: {path}, which --policy {path} takes on the profile {setting.profile.metadata.get('name')}")
    if found.interrupted:
        raise KeyboardInterrupt


def _setting(
    profile: str | None, workers: int, slo_ms: float | None, late: str, service: str | None, subnets: str | None, attainment: float
) -> "Setting":
    from superserve_cli import engine, profiles, traces
    from superserve_cli.studies.tuning import Setting

    served = profiles.load(profile).served(subnets)
    slo_ns = served.default_slo_ns() if slo_ms is None else traces.slo_ns(slo_ms)
    service = service or served.default_service()
    engine.check(served, workers, slo_ns, late, service)
    return Setting(served, workers, slo_ns, late, service, attainment)
