from typing import Annotated

import typer

from superserve_cli.commands.options import LateOption


def scale(
    profile: Annotated[str, typer.Option(help="A profile, Parquet or CSV, or a shipped one's name.")] = "modelled",
    policy: Annotated[
        list[str] | None, typer.Option(help="What decides; repeatable.", show_default="slackfit, max-batch and price")
    ] = None,
    workers: Annotated[int, typer.Option(help="How many workers the routers share.")] = 1000,
    mean_qps: Annotated[float, typer.Option(help="Requests per second, bursty (CV^2 8).")] = 1e6,
    routers: Annotated[list[int] | None, typer.Option(help="How many routers; repeatable.", show_default="1, 16, 64 and 256")] = None,
    duration: Annotated[float, typer.Option(help="Seconds of trace to generate for each seed.")] = 2.0,
    slo_ms: Annotated[float, typer.Option(help="The SLO.")] = 36.0,
    late: LateOption = "shed",
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1, max=100)] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate a cluster whose routers share the workers, and show what sharding costs.

    Each request goes to a router at random. An idle worker serves the most urgent head of all routers, or of two, or of any; or each
    router has workers of its own.
    """
    from superserve_cli import console, engine, policies, profiles, traces
    from superserve_cli.engine.simulator import warm_up
    from superserve_cli.studies import scaling

    served = profiles.load(profile).served()
    chosen = [policies.named(spec) for spec in policy or ("slackfit", "max-batch", "price")]
    counts = routers or [1, 16, 64, 256]
    slo_ns = traces.slo_ns(slo_ms)
    engine.check(served, workers, slo_ns, late, "fixed")
    scaling.check(counts, workers)
    for decides in chosen:
        policies.compile(decides, served, workers)  # a policy that cannot be served is refused before any work is done
    cluster = scaling.Cluster(served, workers, mean_qps, duration, slo_ns, late, tuple(range(seeds)))
    arrived = scaling.arrivals(cluster)
    with console.waiting("compiling the simulator (the first time only)"):
        warm_up()
    with console.progress("sharing") as progress:
        found = scaling.share(cluster, arrived, chosen, counts, progress)
    if json:
        console.as_json(scaling.as_json(cluster, found))
    else:
        title = f"{mean_qps:,.0f} requests/s on {workers} workers, SLO {slo_ms:g} ms, late rule {late}, {seeds} x {duration:g} s"
        console.table(title, scaling.COLUMNS, scaling.rows(found), labels=3)
