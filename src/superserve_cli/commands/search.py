from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from superserve_cli.search import Found
    from superserve_cli.supernet import SuperNet
    from superserve_cli.tasks import Task

SHOWN = 10


def search(
    supernet: Annotated[Path, typer.Argument(help="Folder of a SuperNet.")],
    accuracy: Annotated[
        str | None,
        typer.Option(
            help="Where accuracies come from: predictor:FILE (of Once-for-All), table:FILE (CSV with subnet,accuracy, or a profile), "
            "fit:N (evaluates N subnets on --data), or macs, a stand-in that only ranks by cost (default: those in supernet.json).",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="For fit:N: a task, or npz:FILE (default: what the SuperNet learnt).", show_default=False)
    ] = None,
    latency: Annotated[
        Path | None,
        typer.Option(
            help="A Parquet file of layers' latencies: what it holds is not measured again, what it lacks is added.", show_default=False
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="The batch size whose latency counts.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: one less than the cores).", min=1, show_default=False)] = None,
    size: Annotated[int, typer.Option(min=2, help="How many subnets to keep: the front, and those nearest to it.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Decides which subnets are tried.")] = 0,
    minutes: Annotated[float, typer.Option(min=0.05, help="About how long measuring and searching may take (fit:N comes on top).")] = 2,
    plot: Annotated[Path | None, typer.Option(help="A picture of the front: .svg, .html or .png.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the Pareto front of a space too large to measure, and write it into the SuperNet's supernet.json.

    Latencies are sums over layers, each measured once, times a factor that whole subnets are measured for. After Ctrl-C the same
    command goes on where a --latency file is named.
    """
    from superserve_cli import console
    from superserve_cli import search as searching
    from superserve_cli import supernet as supernets
    from superserve_cli.core import figures, files
    from superserve_cli.search.plot import write_plot
    from superserve_cli.serving.workers.torch_worker import TorchWorker
    from superserve_cli.supernet.files import annotate

    if plot is not None:
        figures.check_kind(plot)
    if latency is not None:
        files.claim_parquet(latency, overwrite=True)
    held = supernets.load(supernet)
    asked = searching.asked(accuracy, held.metadata)
    task = _task(held, data, needed=asked.kind == "fit")
    worker = TorchWorker(held, device=device, threads=threads)
    parts = searching.parts_of(held)
    with console.progress("accuracy") as bar:
        known = searching.accuracy(asked, worker.supernet, parts, task, seed, bar)
    with console.progress("layers", quiet=True) as bar:
        measured_on = {**worker.describe(), "batch_size": batch_size}
        timed = searching.measured(worker.supernet, parts, measured_on, latency, seed=seed, seconds=60 * minutes / 3, progress=bar)
    with console.progress("search") as bar:
        found = searching.search(timed, known, size=size, seed=seed, seconds=60 * minutes / 3, progress=bar)
    annotate(supernet, held, found.entries)
    if plot is not None:
        write_plot(plot, found, held.name)
    _show(held, found, supernet, plot, json)


def _task(held: "SuperNet", data: str | None, needed: bool) -> "Callable[[], Task]":
    from superserve_cli import tasks
    from superserve_cli.errors import BadOption

    learnt = held.metadata.get("task", {})
    if data is not None and not needed:
        raise BadOption("--data is for --accuracy fit:N alone", hint="leave it out, or evaluate subnets on it with fit:N")
    if data is None and needed and not learnt:
        raise BadOption(f"{held.name} does not say what it learnt", hint="name its data with --data, a task or npz:FILE")
    return lambda: tasks.load(data) if data else tasks.load(learnt["name"], learnt["seed"])


def _show(held: "SuperNet", found: "Found", folder: Path, plot: Path | None, json: bool) -> None:
    from superserve_cli import console

    strangers = [subnet for subnet in found.subnets if not held.runs(subnet)]
    if json:
        console.as_json(_json(found, folder, plot, len(strangers)))
    else:
        column = "MACs (stand-in)" if found.accuracy.stands_in else "accuracy"
        shown = found.spread(SHOWN)
        written = f"Written to {folder}/supernet.json" + (f" and {plot}" if plot else "")
        console.table(
            f"{len(shown)} of the {len(found.front.points.latency):,} subnets on the predicted front of {held.name}",
            ("subnet", "latency, ms", column),
            [(row["subnet"], f"{row['latency_ms']:.3f}", _accuracy(row)) for row in shown],
            caption=f"{_judged(found)}{_near(found)}\n{written}",
        )
    for line in _errors(found):
        console.note(line)
    if found.accuracy.stands_in:
        console.warn("no accuracy is known: the front ranks subnets by their multiply-accumulates, not by how good they are")
    if strangers:
        console.note(f"{len(strangers)} of them have no statistics yet: superserve calibrate {folder} --subnets pareto")


def _accuracy(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.2%}" if "accuracy" in row else f"{row['stand_in']:.3f}"


def _judged(found: "Found") -> str:
    if found.front.whole:
        return f"All {found.front.judged:,} subnets of the space were judged."
    generations = len(found.front.hypervolumes) - 1
    over = ", when the time was up" if found.front.timed_out else ""
    return f"{found.front.judged:,} subnets were judged in {generations} generations{over}."


def _near(found: "Found") -> str:
    near = len(found.front.near.latency)
    return f"\n{near:,} more are kept that are just behind it: predictions err." if near else ""


def _errors(found: "Found") -> list[str]:
    errors = found.errors
    whole, about = errors["latency"], errors["accuracy"]
    layers = f"{errors['layers_measured']} layers measured, {errors['layers_interpolated']} interpolated"
    off = f"{whole['subnets']} whole subnets are off by {whole['median']:.1%} (median) and {whole['p90']:.1%} (p90)"
    accuracy = f"accuracy: from {found.accuracy.source}"
    if "mean_absolute_error" in about:
        mean, rank = 100 * about["mean_absolute_error"], about["rank_correlation"]
        accuracy += f"; subnets that it has not seen are off by {mean:.2f} points on average, rank correlation {rank:.3f}"
    return [f"latency: {layers}; {off}", accuracy]


def _json(found: "Found", folder: Path, plot: Path | None, strangers: int) -> dict[str, Any]:
    return {
        "out": str(folder),
        "plot": None if plot is None else str(plot),
        "accuracy_from": found.accuracy.source,
        "stand_in": found.accuracy.stands_in,
        "scale": found.latency.scale,
        "errors": found.errors,
        "whole_space": found.front.whole,
        "judged": found.front.judged,
        "timed_out": found.front.timed_out,
        "on_front": len(found.subnets) - len(found.front.near.latency),
        "without_statistics": strangers,
        "front": found.rows,
    }
