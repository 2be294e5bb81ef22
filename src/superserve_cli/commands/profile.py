from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from superserve_cli.core.nouns import Subnet
    from superserve_cli.profiles import Disagreement, Profile
    from superserve_cli.profiles.measure import Samples
    from superserve_cli.profiles.subject import Subject


def profile(
    supernet: Annotated[
        Path | None, typer.Argument(help="A SuperNet's folder (default: the shipped one), an .onnx file, or a folder of them.")
    ] = None,
    batch_sizes: Annotated[str, typer.Option(help="Batch sizes to measure.")] = "1,2,4,8,16",
    subnets: Annotated[str, typer.Option(help="all, pareto, a number (so many, spread over the front), or IDs: ID,ID.")] = "all",
    rounds: Annotated[int, typer.Option(help="Samples of every subnet and batch size; from 100 on each has a p99 of its own.")] = 50,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: one less than the cores).", min=1, show_default=False)] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 (default on a GPU) or float16. Not with ONNX files.", show_default=False)
    ] = None,
    pack_mb: Annotated[
        int | None, typer.Option(help="MB of packed weights (default: 256). Not with ONNX files.", min=0, show_default=False)
    ] = None,
    uint8: Annotated[bool, typer.Option("--uint8", help="Take images as uint8 pixels, which the device divides by 255.")] = False,
    eager: Annotated[bool, typer.Option("--eager", help="On a GPU, launch kernel by kernel instead of replaying captured graphs.")] = False,
    task: Annotated[
        str | None,
        typer.Option(help="What accuracies are measured on: glyphs, digits, npz:FILE (default: what it learnt).", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the order of the measurements.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")] = Path("profile.parquet"),
    plot: Annotated[
        Path | None, typer.Option(help="The picture: .svg, .html or .png (default: OUT, ending with .svg).", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure every subnet's latency and accuracy into a profile, in interleaved rounds. After Ctrl-C the same command goes on.

    A SuperNet that names no task gets the accuracies that its maker or a search has stored in it, else how often each subnet
    agrees with the largest one.
    """
    from superserve_cli import console
    from superserve_cli.core import figures, files
    from superserve_cli.profiles import asked, subject
    from superserve_cli.profiles.plot import write_plot

    picture = plot or out.with_suffix(".svg")
    figures.check_kind(picture)
    files.claim_parquet(out, overwrite)
    files.claim(picture, overwrite)
    sizes, rounds = asked.batch_sizes(batch_sizes), asked.rounds(rounds)
    computing = {"device": device, "threads": threads, "dtype": dtype, "pack_mb": pack_mb, "pixels": uint8, "eager": eager}
    measured = _subject(supernet, computing, subnets, sizes, task, seed)
    earlier = _earlier(measured, out)
    with _kept(out):
        with console.progress("latency", quiet=True) as bar:
            samples = subject.sample(measured, rounds, out, earlier, bar)
        with console.progress("accuracy") as bar:
            written = subject.write(measured, samples, out, _provenance(), bar)
    write_plot(picture, written)
    _show(written, out, picture, json)


def _subject(
    supernet: Path | None, computing: dict[str, Any], which: str, sizes: tuple[int, ...], task: str | None, seed: int
) -> "Subject":
    from superserve_cli import console
    from superserve_cli.profiles import accuracy, asked
    from superserve_cli.serving import profiling
    from superserve_cli.serving.workers import resident

    held = resident.hold(supernet, **computing)
    subnets = asked.subnets(which, held.subnets, held.front, held.check)
    found = profiling.subject(held, subnets, sizes, task, seed)
    if found.judge.kind == accuracy.AGREEMENT:
        console.warn(
            f"{held.model.name} names no task: what stands for its accuracies is how often a subnet answers random inputs as "
            f"{held.largest} does, which says how alike they are and not how good; --task npz:FILE measures accuracies"
        )
    if held.predicted and held.predicted.get("batch_size") not in sizes:
        console.note(f"a search predicted latencies at batch size {held.predicted.get('batch_size')}, which --batch-sizes leaves out")
    return found


def _earlier(measured: "Subject", out: Path) -> "Samples | None":
    from superserve_cli import console
    from superserve_cli.errors import BadFile
    from superserve_cli.profiles import subject

    try:
        earlier = subject.resumed(measured, out)
    except BadFile as error:
        console.note(f"{error}: starting anew")
        return None
    if earlier is not None:
        console.note(f"going on after {len(earlier)} rounds that were measured before")
    return earlier


@contextmanager
def _kept(out: Path) -> Iterator[None]:
    from superserve_cli import console
    from superserve_cli.profiles import part

    try:
        yield
    except KeyboardInterrupt:
        if part.path_of(out).exists():
            console.note(f"the rounds so far are kept in {part.path_of(out)}: the same command goes on from there")
        raise


def _provenance() -> dict[str, Any]:
    import sys
    from datetime import UTC, datetime

    return {"command": ["superserve", *sys.argv[1:]], "created": datetime.now(UTC).isoformat(timespec="seconds")}


def _show(written: "Profile", out: Path, picture: Path, json: bool) -> None:
    from superserve_cli import console
    from superserve_cli.profiles import Disagreement, front

    best, kind = front(written, written.smallest), written.metadata["accuracy_kind"]
    halves = Disagreement(**written.metadata["disagreement"])
    if json:
        console.as_json(_json(written, best, halves, out, picture))
    else:
        columns = (
            "subnet",
            ACCURACY.get(kind, f"{kind} accuracy"),
            f"batch {written.smallest}, ms",
            f"batch {written.largest}, ms",
            f"requests/s at {written.largest}",
        )
        caption = (
            f"{len(best)} of {len(written.subnets)} subnets; planning uses {written.metadata['plan']}.\nWritten to {out} and {picture}"
        )
        console.table(f"The Pareto front of {written.metadata['supernet']}", columns, [_row(written, s) for s in best], caption)
    _verdict(halves, written.metadata["rounds"])
    if (prediction := written.metadata["prediction"]) is not None:
        console.note(_foretold(prediction))


ACCURACY = {"measured": "accuracy", "agreement": "agreement"}
"""What the column of accuracies is called; those of other kinds say theirs before it."""


def _foretold(prediction: dict[str, Any]) -> str:
    said = (
        f"the predicted latencies of {prediction['cells']} subnets at batch size {prediction['batch_size']}, times "
        f"{prediction['scale']:.2f}, are off by {prediction['latency_median']:.1%} (median) and {prediction['latency_p90']:.1%} (p90)"
    )
    return said if prediction["accuracy"] is None else f"{said}; predicted accuracies by {100 * prediction['accuracy']:.2f} points (mean)"


def _row(written: "Profile", subnet: "Subnet") -> tuple[str, ...]:
    first, last = (written.plan_ns(subnet, size) for size in (written.smallest, written.largest))
    return subnet, f"{written.accuracy(subnet):.1%}", f"{first / 1e6:.3f}", f"{last / 1e6:.3f}", f"{written.largest * 1e9 / last:,.0f}"


def _json(written: "Profile", best: "list[Subnet]", halves: "Disagreement", out: Path, picture: Path) -> dict[str, Any]:
    sizes = written.batch_sizes
    return {
        "out": str(out),
        "plot": str(picture),
        **written.metadata,
        "disagreement": {**halves._asdict(), "good": halves.good},
        "batch_sizes": list(sizes),
        "subnets": len(written.subnets),
        "front": [{"subnet": s, "accuracy": written.accuracy(s), "plan_ns": {str(b): written.plan_ns(s, b) for b in sizes}} for s in best],
    }


def _verdict(halves: "Disagreement", rounds: int) -> None:
    from superserve_cli import console
    from superserve_cli.profiles.rows import ENOUGH_ROUNDS

    said = f"the medians of odd and even rounds disagree by {halves.median:.1%} (median of the cells) and {halves.p90:.1%} (p90)"
    if halves.good:
        console.note(f"{said}: good, the goal is a p90 of at most 5 %")
    else:
        more = f", or with --rounds {ENOUGH_ROUNDS}" if rounds < ENOUGH_ROUNDS else ""
        console.warn(f"{said}; the goal is a p90 of at most 5 %: measure on a quieter machine{more}")
