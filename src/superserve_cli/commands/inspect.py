from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from superserve_cli.reports import Contents


def inspect(
    path: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="A profile, trace or outcomes file; a run, comparison or SuperNet folder.")
    ],
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
    from superserve_cli import reports, supernet

    loaded = supernet.load(path)
    biggest = max(loaded.params(subnet) for subnet in loaded.subnets)
    facts = [
        ("schema", str(loaded.metadata["schema"])),
        ("name", loaded.name),
        ("family", loaded.family),
        ("hash", loaded.hash[:12]),
        ("subnets", f"{len(loaded.space)} in the space, {len(loaded.subnets)} with SubnetNorm statistics"),
        *((dimension.name, dimension.allowed) for dimension in loaded.space.dimensions),
        ("parameters", f"{biggest:,} in the largest subnet"),
    ]
    rows = [(subnet, f"{loaded.macs(subnet) / 1e6:,.2f}", f"{loaded.params(subnet):,}") for subnet in loaded.front]
    return reports.Contents("SuperNet", facts, ("front", "million MACs", "parameters"), rows, loaded.metadata)
