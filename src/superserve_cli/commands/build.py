from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer


def build(
    family: Annotated[str, typer.Option(help="The architecture; see `superserve list families`.")] = "conv",
    task: Annotated[
        str,
        typer.Option(
            help="What it learns: glyphs (procedural 16x16 signs), digits (scikit-learn's), or npz:FILE (arrays x_train, y_train, "
            "x_val, y_val, x_test, y_test; or x and y, split 70:10:20 by the seed)."
        ),
    ] = "glyphs",
    seed: Annotated[int, typer.Option(min=0, help="Decides data, first weights and sampled subnets.")] = 0,
    out: Annotated[Path, typer.Option(help="The folder for weights.safetensors and supernet.json.")] = Path("supernet"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 360,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Use a folder that is not empty, and replace the SuperNet in it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON.")] = False,
) -> None:
    """Train a SuperNet, calibrate every subnet, and find the Pareto front. After Ctrl-C the same command goes on."""
    from superserve_cli import console, supernet, training
    from superserve_cli.training.folder import claim

    recipe = training.Recipe(family, task, seed, steps, device)
    checkpoint = claim(out, recipe, overwrite)
    with _kept(checkpoint), console.progress("building") as progress:
        built = training.build(recipe, checkpoint, progress)
    supernet.save(out, built)
    checkpoint.unlink(missing_ok=True)
    _show(built.metadata, out, as_json)


@contextmanager
def _kept(checkpoint: Path) -> Iterator[None]:
    from superserve_cli import console

    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            console.note(f"What is done is kept in {checkpoint}; the same command goes on from there.")
        raise


def _show(metadata: Any, out: Path, as_json: bool) -> None:
    from superserve_cli import console

    rows = [{"subnet": subnet, **metadata["subnets"][subnet]} for subnet in metadata["front"]]
    if as_json:
        console.as_json({"out": str(out), "front": rows, "spread": metadata["spread"], "cpu_s": metadata["recipe"]["cpu_s"]})
        return
    console.table(
        f"The front of {metadata['name']}",
        ("subnet", "MACs", "parameters", "validation", "test"),
        [(r["subnet"], f"{r['macs']:,}", f"{r['params']:,}", f"{r['validation']:.1%}", f"{r['test']:.1%}") for r in rows],
        caption=_caption(metadata, out),
    )


def _caption(metadata: Any, out: Path) -> str:
    spread = metadata["spread"]
    ratio = spread["accuracy"] / spread["standard_error"] if spread["standard_error"] else 0.0
    return (
        f"Test accuracies span {100 * spread['accuracy']:.1f} points, {ratio:.0f} standard errors\n({spread['images']:,} test images; "
        f"{metadata['recipe']['cpu_s']:.0f} CPU seconds). Written to {out}/"
    )
