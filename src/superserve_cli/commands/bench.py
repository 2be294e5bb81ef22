from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from superserve_cli.bench import Figure


def bench(
    name: Annotated[str, typer.Argument(help="simulate, decide, actuate, subnetact, start, handoff, rpc, front or load.")],
    device: Annotated[str, typer.Option(help="Where subnetact runs: cpu, cuda or cuda:N.")] = "cpu",
    plots: Annotated[
        Path | None, typer.Option(help="A folder for subnetact's pictures, memory.svg and latency.svg.", show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of subnetact (default: one less than the cores).", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure superserve itself, and print its figures beside their targets.

    simulate: virtual time, memory, SimPy beside it. decide: a decision in the live router. actuate: switching subnets. subnetact:
    switching, latency in place, memory and ONNX, on OFA-ResNet50 too. start: --help. handoff: a batch to a worker process. rpc: a
    request over gRPC. front: the server around a model that takes no time. load: requests/s that one process of `replay --target`
    keeps on schedule.
    """
    from superserve_cli import console
    from superserve_cli.bench import machine

    figures = _measured(name, device, plots, threads)
    if json:
        console.as_json({figure.key: figure.value for figure in figures} | {"machine": machine()})
    else:
        where = machine()
        caption = f"{where['processor']}, {where['cores']} cores, Python {where['python']}"
        console.table(f"bench {name}", ("what", "measured", "target", ""), [figure.row() for figure in figures], caption)


def _measured(name: str, device: str, plots: Path | None, threads: int | None) -> "list[Figure]":
    from superserve_cli import bench, console
    from superserve_cli.errors import BadOption

    if name != bench.SUBNETACT and (device != "cpu" or plots is not None or threads is not None):
        raise BadOption(f"bench {name} takes neither --device nor --plots nor --threads", hint="only subnetact does")
    with console.progress(f"bench {name}") as progress:
        if name != bench.SUBNETACT:
            return bench.named(name)(progress)
        measured = bench.subnetact(progress, device, threads)
    if plots is not None:
        bench.write_pictures(plots, measured)
    return measured.figures
