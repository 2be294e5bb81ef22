from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from superserve_cli.reports import Contents
    from superserve_cli.supernet import SuperNet

WHAT = "A profile (or a shipped one's name), trace or outcomes file; a run, comparison or SuperNet folder."


def inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help=WHAT)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a file or folder is, and show what is in it."""
    from superserve_cli import console, reports

    found = _supernet(path) if (path / "supernet.json").is_file() else reports.contents(path)
    if json:
        console.as_json({"path": str(path), "kind": found.kind, **found.data})
        return
    console.table(str(path), (found.kind, ""), found.facts, text=True)
    if found.rows:
        console.table("", found.columns, found.rows)


def _supernet(path: Path) -> "Contents":
    """The contents of a SuperNet folder; here, because the reports know no torch."""
    from superserve_cli import reports, supernet

    loaded = supernet.load(path)
    recipe = loaded.metadata.get("recipe", {})
    facts = [
        ("schema", str(loaded.metadata["schema"])),
        ("name", loaded.name),
        ("family", loaded.family),
        ("hash", loaded.hash[:12]),
        *((d.name, f"{', '.join(f'{value:g}' for value in d.values)}{', per stage' * (d.count > 1)}") for d in loaded.space.dimensions),
        (
            "subnets",
            f"{loaded.space.size:,} in the space, {len(loaded.subnets)} with SubnetNorm statistics, {len(loaded.front)} on the front",
        ),
        ("parameters", f"{sum(tensor.numel() for tensor in loaded.weights.values()):,}, shared by all subnets"),
        ("recipe", ", ".join(f"{name} {value}" for name, value in recipe.items())),
    ]
    columns = ("front", "million MACs", "parameters", "validation", "test")
    return reports.Contents("SuperNet", facts, columns, [_row(loaded, subnet) for subnet in loaded.front], loaded.metadata)


def _row(loaded: "SuperNet", subnet: str) -> tuple[str, ...]:
    known: dict[str, Any] = loaded.metadata.get("subnets", {}).get(subnet, {})
    accuracies = (f"{100 * known[split]:.2f} %" if split in known else "" for split in ("validation", "test"))
    return (subnet, f"{loaded.macs(subnet) / 1e6:,.2f}", f"{loaded.params(subnet):,}", *accuracies)
