from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from superserve_cli.bench import Figure


def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="simulate, decide, actuate, subnetact, start, load, serve, front, handoff, rpc, fidelity, peers, headline or faults."
        ),
    ],
    device: Annotated[str, typer.Option(help="Where subnetact and headline run: cpu, cuda or cuda:N.")] = "cpu",
    plots: Annotated[
        Path | None, typer.Option(help="A folder for subnetact's pictures, memory.svg and latency.svg.", show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of subnetact (default: one less than the cores).", show_default=False)
    ] = None,
    peers: Annotated[
        Path | None,
        typer.Option(help="Measure other servers beside ours too (serve, peers): bench/peers of the repository.", show_default=False),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure so little that only errors mean anything (serve, fidelity, peers, headline, faults).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for headline's profile (default: runs/headline).", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure superserve itself, and print its figures beside their targets.

    simulate: virtual time, memory, SimPy beside it. decide: a decision in the live router. actuate: switching subnets. subnetact:
    switching, latency in place, memory and ONNX, on OFA-ResNet50 too. start: --help. load: requests/s that one process of `replay
    --target` keeps on schedule. front: the server around a model that takes no time. handoff: a batch to a worker process. rpc: a
    request over gRPC. fidelity: the live server and its simulation, apart. peers: the live server beside others. serve: all of the
    live server. headline: OFA-ResNet50 under the paper's bursts. faults: what becomes of requests
    while workers and routers are killed, stopped, slowed, flooded and lied to.
    """
    from superserve_cli import console
    from superserve_cli.bench import machine

    given = {"--device": device != "cpu", "--plots": plots is not None, "--threads": threads is not None}
    _refuse(name, given | {"--peers": peers is not None, "--quick": quick, "--out": out is not None})
    figures = _headline(device, out, quick) if name == HEADLINE else _measured(name, device, plots, threads, peers, quick)
    if json:
        values = {figure.key: figure.value for figure in figures}
        assert len(values) == len(figures), "two figures have the same key"
        console.as_json(values | {"machine": machine(), "quick": quick, "rows": {figure.key: figure.row() for figure in figures}})
    else:
        where = machine()
        caption = f"{where['processor']}, {where['cores']} cores, Python {where['python']}"
        console.table(f"bench {name}", ("what", "measured", "target", ""), [figure.row() for figure in figures], caption)


HEADLINE = "headline"


def _headline(device: str, out: Path | None, quick: bool) -> "list[Figure]":
    from superserve_cli import console
    from superserve_cli.bench.headline import headline, planned

    with console.progress("bench headline", quiet=True) as progress:
        return headline(planned(out or Path("runs") / HEADLINE, device, quick), progress)


def _refuse(name: str, given: dict[str, bool]) -> None:
    """Refuse what this benchmark does not take; raises BadOption, and Unknown for a benchmark that there is not."""
    from superserve_cli import bench
    from superserve_cli.errors import BadOption

    takes = {
        bench.SUBNETACT: ("--device", "--plots", "--threads"),
        bench.HEADLINE: ("--device", "--out", "--quick"),
        bench.SERVE: ("--peers", "--quick"),
        bench.PEERS: ("--peers", "--quick"),
        bench.FAULTS: ("--quick",),
    }
    takes |= {each: ("--quick",) for each in bench.OF_SERVER if each not in takes}
    if name not in takes:
        bench.named(name)
    for option in (option for option, is_given in given.items() if is_given and option not in takes.get(name, ())):
        raise BadOption(f"bench {name} takes no {option}", hint=f"these do: {', '.join(each for each in takes if option in takes[each])}")


def _measured(name: str, device: str, plots: Path | None, threads: int | None, peers: Path | None, quick: bool) -> "list[Figure]":
    from superserve_cli import bench, console

    with console.progress(f"bench {name}", quiet=name in (*bench.OF_SERVER, bench.FAULTS)) as progress:
        if name == bench.FAULTS:
            return bench.faults(progress, quick)
        if name in bench.OF_SERVER:
            return bench.live(name, progress, quick, peers)
        if name != bench.SUBNETACT:
            return bench.named(name)(progress)
        measured = bench.subnetact(progress, device, threads)
    if plots is not None:
        bench.write_pictures(plots, measured)
    return measured.figures
