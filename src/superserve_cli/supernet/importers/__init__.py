"""SuperNets from checkpoints that other code bases wrote. Reading is strict: nothing is guessed, renamed silently or left out."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from superserve_cli.errors import BadFile, Unknown
from superserve_cli.supernet.importers import ofa
from superserve_cli.supernet.importers.checkpoint import OUT_OF_MEMORY
from superserve_cli.supernet.importers.dynabert import dynabert
from superserve_cli.supernet.importers.layerwise import layerwise
from superserve_cli.supernet.supernet import SuperNet

Importer = Callable[[Path], SuperNet]
"""Reads a file, or a folder where the format is one; raises BadFile. Its metadata may say `origin["format"]`, and whatever it knows."""

IMPORTERS: Final[dict[str, Importer]] = {
    "ofa-resnet50": ofa.resnet50,
    "ofa-mbv3": ofa.mbv3,
    "dynabert": dynabert,
    "layerwise": layerwise,
}


def load(path: Path, family: str) -> SuperNet:
    """The SuperNet of a checkpoint, its metadata with the origin: file, SHA-256 and format. Raises Unknown or BadFile."""
    importer = known(family)
    if not path.exists():
        raise BadFile(f"there is no {path}", hint="name a local file: superserve fetches nothing")
    try:
        imported = importer(path)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and OUT_OF_MEMORY not in str(error):
            raise
        raise BadFile(f"{path} does not fit into memory", hint="about three times its size has to be free") from error
    origin = {"file": path.name, "sha256": sha256(path), "format": family, **imported.metadata.get("origin", {})}
    return replace(imported, metadata={"name": family, **imported.metadata, "origin": origin}, _programs={})


def known(family: str) -> Importer:
    """The importer of a family; raises Unknown."""
    if family not in IMPORTERS:
        raise Unknown("importer for --family", family, IMPORTERS)
    return IMPORTERS[family]


def sha256(path: Path) -> str:
    """Of a file; of a folder, over the names and contents of its files."""
    if path.is_file():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(each for each in path.iterdir() if each.is_file()):
        digest.update(f"{file.name}:{sha256(file)};".encode())
    return digest.hexdigest()
