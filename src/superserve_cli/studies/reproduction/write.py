"""The files of a reproduction: the page with its pictures, and every cell."""

from pathlib import Path
from typing import Final

from superserve_cli.core.files import write_json, write_text
from superserve_cli.errors import BadOption
from superserve_cli.studies.reproduction import pictures
from superserve_cli.studies.reproduction.cells import FILE
from superserve_cli.studies.reproduction.page import PICTURES, page
from superserve_cli.studies.reproduction.results import Results, as_json

PAGE: Final = "reproduction.md"
CELLS: Final = "reproduction.json"


def claim_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something else than an earlier reproduction; raises BadOption."""
    if folder.exists() and not folder.is_dir():
        raise BadOption(f"{folder} is a file", hint="name a folder")
    if not overwrite and folder.is_dir() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise BadOption(f"{folder} is not empty, and holds no reproduction", hint="add --overwrite, or choose another --out")


def write(found: Results, folder: Path) -> None:
    """`reproduction.md`, its pictures and `reproduction.json`."""
    pictures.write(found, folder / PICTURES)
    write_text(folder / PAGE, page(found))
    write_json(folder / CELLS, as_json(found))
