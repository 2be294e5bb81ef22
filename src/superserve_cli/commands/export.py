from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from superserve_cli.core.nouns import Subnet
    from superserve_cli.supernet import SuperNet

SUBNETS = "Several: all, pareto, largest, a number (so many, spread over the front), ids with commas between, or file:IDS.txt."
WHOLE = "One file for all of --subnets (default: pareto) over shared weights; inputs say which of them runs."
SUFFIXES = {"onnx": ".onnx", "safetensors": ".safetensors"}


def export(
    out: Annotated[Path, typer.Option(help="The file to write; with --subnets, without --whole, the folder.", show_default=False)],
    supernet: Annotated[Path | None, typer.Argument(help="Folder of a SuperNet; without it the shipped one.", show_default=False)] = None,
    subnet: Annotated[str | None, typer.Option(metavar="ID", help="One subnet.", show_default=False)] = None,
    subnets: Annotated[str | None, typer.Option(metavar="WHICH", help=SUBNETS, show_default=False)] = None,
    whole: Annotated[bool, typer.Option("--whole", help=WHOLE)] = False,
    format: Annotated[str, typer.Option(help="onnx, or safetensors: the tensors of a subnet by parameter name.")] = "onnx",
    opset: Annotated[int, typer.Option(help="The ONNX operator set.")] = 17,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Compare each model with torch on random inputs.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write subnets as ONNX models: one to a file, several to a folder, or the whole SuperNet to one file.

    A model that does not answer as torch does, to a ten-thousandth of its largest output, is not kept. `superserve profile` and
    `superserve serve` take the files and folders.
    """
    from superserve_cli import console
    from superserve_cli import supernet as supernets
    from superserve_cli.supernet.onnx.graph import check_opset

    check_opset(opset)
    _check(subnet, subnets, whole, format)
    if not subnets or whole:
        _claim(out, format, overwrite)
    net = supernets.load(supernet)
    wanted = _wanted(net, subnet, subnets, whole, out, SUFFIXES[format])
    for path in wanted:
        _claim(path, format, overwrite)
    rows = []
    with console.progress("exporting") as bar:
        for i, (path, ids) in enumerate(wanted.items()):
            bar(i, len(wanted), path.name)
            found = _write(net, ids, path, whole, format, opset, verify)
            rows.append({"path": str(path), "subnets": ids, "bytes": _size(path), "difference": found})
        bar(len(wanted), len(wanted), "")
    if json:
        console.as_json({"supernet": net.name, "hash": net.hash, "files": rows})
        return
    console.table(f"Exports of {net.name}", ("file", "subnets", "bytes", "off torch by"), [*map(_shown, rows)])


def _check(subnet: str | None, subnets: str | None, whole: bool, format: str) -> None:
    from superserve_cli.errors import BadOption, Unknown

    if format not in SUFFIXES:
        raise Unknown("format", format, SUFFIXES)
    if subnet is not None and (subnets is not None or whole):
        raise BadOption(f"--subnet together with {'--whole' if whole else '--subnets'}", hint="one subnet, several, or the whole SuperNet")
    if subnet is None and subnets is None and not whole:
        raise BadOption("no subnet to export", hint="add --subnet ID, --subnets pareto, or --whole")
    if whole and format != "onnx":
        raise BadOption(f"--whole with --format {format}", hint="a whole SuperNet is in safetensors already: copy its folder")


def _claim(path: Path, format: str, overwrite: bool) -> None:
    from superserve_cli.core import files
    from superserve_cli.errors import BadOption

    if path.suffix != SUFFIXES[format]:
        raise BadOption(f"{path} would hold {format}", hint=f"name it {path.with_suffix(SUFFIXES[format]).name}")
    files.claim(path, overwrite)


def _wanted(net: "SuperNet", subnet: str | None, subnets: str | None, whole: bool, out: Path, suffix: str) -> "dict[Path, list[Subnet]]":
    """What to write: the subnets of each file."""
    from superserve_cli.supernet import asked

    ids = [net.space.validate(subnet)] if subnet is not None else asked.subnets(net, subnets or "pareto")
    for each in ids:
        if not net.runs(each):
            net.program(each)  # says why
    return {out: ids} if whole or subnet is not None else {out / f"{each}{suffix}": [each] for each in ids}


def _write(net: "SuperNet", ids: "list[Subnet]", path: Path, whole: bool, format: str, opset: int, verify: bool) -> float | None:
    """Write one file; returns the largest relative difference from torch, where that was looked at."""
    from superserve_cli.supernet import onnx

    if whole:
        return onnx.export_whole(net, ids, path, opset, verify)
    if format == "onnx":
        return onnx.export_subnet(net, ids[0], path, opset, verify)
    return onnx.export_tensors(net, ids[0], path)


def _size(path: Path) -> int:
    from superserve_cli.supernet.onnx.write import data_of

    data = data_of(path)
    return path.stat().st_size + (data.stat().st_size if data.exists() else 0)


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    ids, difference = row["subnets"], row["difference"]
    apart = "not compared" if difference is None else f"{difference:.1e}"
    return row["path"], ids[0] if len(ids) == 1 else f"{len(ids)}", f"{row['bytes']:,}", apart
