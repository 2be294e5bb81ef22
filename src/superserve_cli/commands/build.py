from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from superserve_cli.supernet import SuperNet
    from superserve_cli.training import Recipe

TRAINING = ("task", "seed", "steps", "device")
"""Options that an imported SuperNet has no use for."""


def build(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE|DIR",
            help="Import a trained SuperNet instead of training one: a local checkpoint of --family, or the folder that holds it and its "
            "config.json (dynabert, layerwise), read strictly and without running its code.",
        ),
    ] = None,
    family: Annotated[str, typer.Option(help="The architecture; see `superserve list families`.")] = "conv",
    name: Annotated[str | None, typer.Option(help="What servers and profiles call it; by default its family and task.")] = None,
    task: Annotated[
        str,
        typer.Option(
            help="What it learns: glyphs (procedural 16x16 signs), digits (scikit-learn's), digit-tokens (the same as texts of 16 words, "
            "for layerwise), or npz:FILE (arrays x_train, y_train, x_val, y_val, x_test, y_test; or x and y, split 70:10:20 by the seed)."
        ),
    ] = "glyphs",
    seed: Annotated[int, typer.Option(min=0, help="Decides data, first weights and sampled subnets.")] = 0,
    out: Annotated[Path, typer.Option(help="The folder for weights.safetensors, supernet.json and README.md.")] = Path("supernet"),
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; by default as many as the family needs.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Use a folder that is not empty, and replace the SuperNet in it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front, or what was imported, as JSON.")] = False,
) -> None:
    """Train a SuperNet, calibrate every subnet, and find the Pareto front; or import one with --from. After Ctrl-C the same
    command goes on.
    """
    from superserve_cli import supernet, training
    from superserve_cli.errors import BadOption
    from superserve_cli.training.folder import claim

    if name is not None and not name.strip():
        raise BadOption("--name is empty", hint="say what servers and profiles shall call it, or leave it out")
    if source is not None:
        _refuse(context, TRAINING)
        claim(out, None, overwrite)
        supernet.save(out, imported := _imported(source, family, name))
        _show_import(imported, out, as_json)
        return
    recipe = training.Recipe.of(family, task=task, seed=seed, steps=steps, device=device)
    training.resolve(recipe)
    checkpoint = claim(out, recipe, overwrite)
    built = _trained(recipe, checkpoint, name)
    supernet.save(out, built)
    checkpoint.unlink(missing_ok=True)
    _show(built.metadata, out, as_json)


def _refuse(context: typer.Context, names: tuple[str, ...]) -> None:
    from superserve_cli.errors import BadOption

    given = [f"--{name}" for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    if given:
        raise BadOption(
            f"--from imports what is trained already: {', '.join(given)} {'have' if len(given) > 1 else 'has'} no meaning",
            hint="leave out one or the other",
        )


def _imported(source: Path, family: str, name: str | None) -> "SuperNet":
    from superserve_cli import console
    from superserve_cli.supernet import importers

    importers.known(family)
    with console.waiting(f"reading {source}"):
        return _named(importers.load(source, family), name)


def _trained(recipe: "Recipe", checkpoint: Path, name: str | None) -> "SuperNet":
    from superserve_cli import console, training

    with _kept(checkpoint), console.progress("building") as progress:
        return _named(training.build(recipe, checkpoint, progress), name)


def _named(supernet: "SuperNet", name: str | None) -> "SuperNet":
    return supernet if name is None else replace(supernet, metadata={**supernet.metadata, "name": name}, _programs={})


@contextmanager
def _kept(checkpoint: Path) -> Iterator[None]:
    from superserve_cli import console

    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            console.note(f"What is done is kept in {checkpoint}; the same command goes on from there.")
        raise


def _show_import(imported: "SuperNet", out: Path, as_json: bool) -> None:
    from superserve_cli import console

    origin, calibrated = imported.metadata["origin"], list(imported.statistics)
    parameters = sum(tensor.numel() for tensor in imported.weights.values())
    if as_json:
        facts = {"family": imported.family, "parameters": parameters, "subnets": imported.space.size, "calibrated": calibrated}
        console.as_json({"out": str(out), "name": imported.name, "origin": origin, **facts})
        return
    rows = [
        ("file", f"{origin['file']}, SHA-256 {origin['sha256'][:12]}..."),
        ("family", f"{imported.family}, {imported.architecture.classes} classes"),
        ("parameters", f"{parameters:,} in {len(imported.weights)} tensors"),
        ("subnets", f"{imported.space.size:,} in the space"),
        ("calibrated", ", ".join(calibrated) or "none: no subnet needs statistics of its own"),
    ]
    console.table(f"Imported {imported.name}", ("what", ""), rows, caption=f"Written to {out}/", text=True)
    if imported.normalized:
        console.note(f"Every other subnet needs SubnetNorm statistics before it runs: superserve calibrate {out} --help")


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
