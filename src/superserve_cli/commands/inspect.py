from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from superserve_cli.reports import Contents

WHAT = "A profile (or a shipped one's name), trace, outcomes, recording, policy or ONNX file; a run, comparison or SuperNet folder."
LISTED: Final = 24
"""So many subnets of a longer front are shown, evenly spread; JSON has them all."""


def inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help=WHAT)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a file or folder is, and show what is in it."""
    from superserve_cli import console, reports

    if (path / "supernet.json").is_file():
        found, warnings = _supernet(path)
    else:
        found, warnings = (_onnx(path) if path.suffix == ".onnx" and path.is_file() else reports.contents(path)), []
    if json:
        console.as_json({"path": str(path), "kind": found.kind, **found.data})
    else:
        console.table(str(path), (found.kind, ""), found.facts, text=True)
        if found.rows:
            console.table("", found.columns, found.rows)
    for warning in warnings:
        console.warn(warning)


def _supernet(path: Path) -> "tuple[Contents, list[str]]":
    """The contents of a SuperNet folder, and what would go wrong with it; here, because the reports know no torch."""
    from superserve_cli import reports, supernet
    from superserve_cli.profiles.asked import spread
    from superserve_cli.supernet import described
    from superserve_cli.supernet.asked import front

    loaded = supernet.load(path)
    best = front(loaded)
    shown = spread(best, LISTED) if len(best) > LISTED else best
    facts = described.facts(loaded) + ([("below", f"{LISTED} of the front's {len(best)} subnets")] if len(best) > LISTED else [])
    columns, rows = described.rows(loaded, shown)
    return reports.Contents("SuperNet", facts, columns, rows, described.data(loaded)), described.warnings(loaded, str(path))


def _onnx(path: Path) -> "Contents":
    from superserve_cli import reports
    from superserve_cli.supernet.onnx import described

    held = described.read(path)
    first = held.subnets[0]
    facts = [
        ("name", held.name),
        ("form", "one subnet" if held.form == "subnet" else f"a whole SuperNet, {len(held.subnets)} subnets"),
        ("family", held.family),
        ("hash", f"{held.hash[:12]}, of the SuperNet"),
        ("input", f"input: {' x '.join(map(str, held.shape))}, {held.dtype}"),
        ("output", f"logits: {held.classes}"),
        ("task", str(held.task.get("name", "none known"))),
    ]
    if held.form == "supernet":
        facts.append(("control", f"depth: {len(first.depth)}, width: {len(first.width)} numbers, subnet: its row"))
    rows = [
        (c.id, str(c.row), f"{c.macs / 1e6:,.2f}", f"{c.params:,}", "" if c.accuracy is None else f"{100 * c.accuracy:.2f} %")
        for c in held.subnets
    ]
    return reports.Contents("ONNX", facts, ("subnet", "row", "M MACs", "params", "accuracy"), rows, held.to_json())
