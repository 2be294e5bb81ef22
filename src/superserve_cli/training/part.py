"""The statistics that an interrupted `superserve calibrate` has finished, one record after the other in a file beside the SuperNet."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load as decode
from safetensors.torch import save as encode

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadFile
from superserve_cli.supernet import Statistics

NAME: Final = "calibration.part"
SIZE: Final = 8
"""Bytes of a record's length."""
HINT: Final = "remove it, and start anew"


def add(path: Path, what: Mapping[str, Any], subnet: Subnet, own: Statistics) -> None:
    """Keep a subnet's statistics, and of what they are: SuperNet, images, batch size."""
    about = {"superserve": json.dumps({"what": dict(what), "subnet": subnet})}
    record = encode({name: tensor.cpu() for name, tensor in own._asdict().items()}, about)
    try:
        with path.open("ab") as file:
            file.write(len(record).to_bytes(SIZE, "little") + record)
    except OSError as error:
        raise BadFile(f"cannot write {path}: {error.strerror}", hint="free some space") from error


def load(path: Path, what: Mapping[str, Any]) -> dict[Subnet, Statistics]:
    """What was finished of the same calibration; a record that a crash cut short is cut off. Raises BadFile for a file of anything else."""
    if not path.exists():
        return {}
    try:
        content = path.read_bytes()
        records = list(_records(content))
        found = dict(_parsed(path, record, what) for record in records)
        with path.open("r+b") as file:
            file.truncate(sum(SIZE + len(record) for record in records))
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}", hint=HINT) from error
    return found


def _records(content: bytes) -> Iterator[bytes]:
    start = 0
    while (stop := start + SIZE + int.from_bytes(content[start : start + SIZE], "little")) <= len(content):
        if stop == start + SIZE:
            return
        yield content[start + SIZE : stop]
        start = stop


def _parsed(path: Path, record: bytes, what: Mapping[str, Any]) -> tuple[Subnet, Statistics]:
    try:
        size = int.from_bytes(record[:SIZE], "little")
        about = json.loads(json.loads(record[SIZE : SIZE + size])["__metadata__"]["superserve"])
        subnet, own = about["subnet"], Statistics(**decode(record))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{path} holds no statistics", hint=HINT) from error
    if different := [key for key, value in what.items() if about["what"].get(key) != value]:
        raise BadFile(f"{path} was made with another {' and '.join(different)}", hint=HINT)
    return subnet, own
