from pathlib import Path
from typing import Annotated

import typer

from superserve_cli.commands.options import MixOption

NAME_HELP = (
    "azure (SYNTHETIC: made up from published statistics of Azure Functions), azure:FILE (a real invocation file of the 2019 trace), "
    "poisson, bursty, time-varying, file:PATH (a Parquet or CSV trace of your own)."
)


def trace(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAME_HELP)],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.", show_default=False)],
    mean_qps: Annotated[float | None, typer.Option(help="Mean requests per second (default 1000).", show_default=False)] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds (default 60), into which a day is compressed.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="What the random numbers start from (default 0).", show_default=False)] = None,
    slo_ms: Annotated[float | None, typer.Option(help="SLO of the requests that have none.", show_default=False)] = None,
    mix: MixOption = None,
    cv2: Annotated[float | None, typer.Option(help="bursty, time-varying: CV^2 of the gamma gaps (default 8).", show_default=False)] = None,
    base_share: Annotated[
        float | None, typer.Option(help="bursty: share of the constant base (default 1500/7050).", show_default=False)
    ] = None,
    start_qps: Annotated[float | None, typer.Option(help="time-varying: the rate at first (default 2500).", show_default=False)] = None,
    end_qps: Annotated[
        float | None, typer.Option(help="time-varying: the rate that it reaches (default 7400).", show_default=False)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the arrival rate: a .svg, .html or .png file.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a trace of intended arrivals, and say how bursty it is.

    `azure` is synthetic: it looks like eight hours of a hundred Azure functions, compressed, but holds none of Azure's data.
    """
    from superserve_cli import console, traces
    from superserve_cli.core import figures, files

    files.claim_parquet(out, overwrite)
    if plot:
        figures.check_kind(plot)
        files.claim(plot, overwrite)
    slo_ns = None if slo_ms is None else traces.slo_ns(slo_ms)
    kinds = None if mix is None else traces.read_mix(mix)
    shape = {"cv2": cv2, "base_share": base_share, "start_qps": start_qps, "end_qps": end_qps}
    made = traces.load(name, qps=mean_qps, duration_s=duration, seed=seed, mix=kinds, **shape)
    made = made if slo_ns is None else made.with_slo(slo_ns)
    traces.save(out, made)
    if plot:
        from superserve_cli.traces.plot import write_plot

        write_plot(plot, made)
    found = traces.statistics(made)
    if json:
        console.as_json({"out": str(out), "source": made.source, "hash": traces.content_hash(made), **found})
    else:
        console.table(f"{made.source} -> {out}", ("arrivals", "value"), traces.describe(found))
