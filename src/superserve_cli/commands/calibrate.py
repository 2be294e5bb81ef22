from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from superserve_cli.core.nouns import Subnet
    from superserve_cli.supernet import Statistics, SuperNet
    from superserve_cli.training.calibration import Calibration
    from superserve_cli.training.shared import Worth

SUBNETS = "pareto, all, largest, a number (so many, spread over the front; random ones where there is none), ID,ID, or file:IDS.txt."
DATA = (
    "Training images: a task, npz:FILE (array x_train or x; no labels needed), or noise (synthetic: good for latency only). "
    "Default: the task that the SuperNet learnt."
)


def calibrate(
    supernet: Annotated[
        Path | None,
        typer.Argument(help="Folder of a SuperNet, which is written anew; with --check also none: the shipped one.", show_default=False),
    ] = None,
    data: Annotated[str | None, typer.Option(help=DATA, show_default=False)] = None,
    subnets: Annotated[str, typer.Option(help=SUBNETS)] = "pareto",
    images: Annotated[int, typer.Option(help="How many images, drawn at random.", min=1)] = 2000,
    batch: Annotated[int, typer.Option(help="Images per batch.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Decides the images, the noise and random subnets.", min=0)] = 0,
    again: Annotated[bool, typer.Option("--again", help="Calibrate those anew that are calibrated already.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: print each subnet's test accuracy with its own and with shared statistics.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: one less than the cores).", min=1, show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure SubnetNorm statistics of subnets, without which they do not run. After Ctrl-C the same command goes on."""
    from superserve_cli import console
    from superserve_cli import supernet as supernets
    from superserve_cli.errors import BadOption
    from superserve_cli.supernet.asked import subnets as asked
    from superserve_cli.supernet.devices import device as named
    from superserve_cli.supernet.files import replace_saved
    from superserve_cli.training import calibration, part
    from superserve_cli.training import images as sources

    if supernet is None and not check:
        raise BadOption("which SuperNet?", hint="name its folder; the shipped one is calibrated")
    where = named(device)
    held = supernets.load(supernet)
    chosen = asked(held, subnets, seed)
    _use(threads)
    if check or supernet is None:
        _check(held, chosen, data, json)
        return
    source = sources.images(held, data, images, batch, seed)
    todo = tuple(subnet for subnet in chosen if again or not held.runs(subnet))
    if not todo:
        _show(supernet, held, held, 0, len(chosen), json)
        return
    run = calibration.Calibration(held, todo, source, where, supernet / part.NAME)
    task, earlier = run.task(), _earlier(run)
    _say(run)
    changed = calibration.calibrated(run, _measured(run, earlier))
    if task is not None:
        with _kept(run.path), console.progress("accuracy") as progress:
            changed = calibration.rated(changed, run.rated, task, progress)
    replace_saved(supernet, held, changed)
    run.path.unlink(missing_ok=True)
    _show(supernet, held, changed, len(todo), len(chosen) - len(todo), json)


def _use(threads: int | None) -> None:
    import torch

    from superserve_cli.supernet import devices

    torch.set_num_threads(devices.threads(threads))


def _say(run: "Calibration") -> None:
    from superserve_cli import console

    if run.images.synthetic:
        console.warn("noise is synthetic: statistics of it are good for measuring latency, and make every accuracy meaningless")


def _earlier(run: "Calibration") -> "dict[Subnet, Statistics]":
    from superserve_cli import console
    from superserve_cli.errors import BadFile
    from superserve_cli.training.calibration import finished

    try:
        earlier = finished(run)
    except BadFile as error:
        console.note(f"{error}: starting anew")
        run.path.unlink()
        return {}
    if earlier:
        console.note(f"going on after {len(earlier)} of {len(run.subnets)} subnets")
    return earlier


def _measured(run: "Calibration", earlier: "dict[Subnet, Statistics]") -> "dict[Subnet, Statistics]":
    from superserve_cli import console
    from superserve_cli.training.calibration import measure

    with _kept(run.path), console.progress("calibrating") as progress:
        return measure(run, earlier, progress)


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    from superserve_cli import console

    try:
        yield
    except KeyboardInterrupt:
        if path.exists():
            console.note(f"What is done is kept in {path}; the same command goes on from there.")
        raise


def _show(folder: Path, before: "SuperNet", after: "SuperNet", done: int, skipped: int, json: bool) -> None:
    from superserve_cli import console

    about = after.metadata.get("statistics", {})
    if json:
        counts = {"calibrated": done, "skipped": skipped, "with_statistics": len(after.statistics)}
        console.as_json({"out": str(folder), "name": after.name, **counts, "hash": after.hash, "statistics": about})
        return
    rows = [("calibrated", f"{done} subnet{'s' * (done != 1)}"), ("skipped", f"{skipped}, calibrated before; --again calibrates them anew")]
    if done:
        rows += [("from", f"{about['images']:,} images of {about['data']}, in batches of {about['batch']}, seed {about['seed']}")]
        rows += [("hash", f"{after.hash[:12]}, was {before.hash[:12]}: profiles of the old one do not fit")]
    rows += [("statistics", f"of {len(after.statistics)} subnet{'s' * (len(after.statistics) != 1)}")]
    console.table(f"{after.name} in {folder}", ("", ""), rows if skipped else [row for row in rows if row[0] != "skipped"], text=True)


def _check(held: "SuperNet", chosen: "list[Subnet]", data: str | None, json: bool) -> None:
    from superserve_cli import console
    from superserve_cli.training import images, shared

    task = images.load_task(held, data or images.own_task(held))
    programs = shared.both(held, chosen, task)
    with console.progress("comparing") as progress:
        found = shared.worth(programs, task, progress)
    if json:
        rows = [{**each._asdict(), "lost": each.lost} for each in found]
        console.as_json({"name": held.name, "hash": held.hash, "task": task.name, "images": len(task.test.y), "subnets": rows})
        return
    console.table(
        f"What SubnetNorm is worth to {held.name}",
        ("subnet", "own statistics", "the largest's", "points lost"),
        [_row(each) for each in found],
        caption=f"Accuracy on {len(task.test.y):,} test images of {task.name}; the largest's are\ncut to each subnet's channels.",
    )


def _row(each: "Worth") -> tuple[str, ...]:
    return each.subnet, f"{each.own:.1%}", f"{each.shared:.1%}", f"{100 * each.lost:.1f}"
