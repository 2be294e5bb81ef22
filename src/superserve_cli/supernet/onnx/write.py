"""Writes models: whole and right, or not at all."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from onnx import ModelProto

from superserve_cli.core.files import replacing
from superserve_cli.errors import BadFile, SuperserveError
from superserve_cli.supernet.onnx import model as models
from superserve_cli.supernet.onnx import verify
from superserve_cli.supernet.onnx.described import Described
from superserve_cli.supernet.onnx.graph import Array
from superserve_cli.supernet.supernet import SuperNet

LARGEST_INLINE: Final = 1_800_000_000
"""How many bytes of weights a model file holds at most (protobuf's limit is 2 GiB); more go to a file of their own."""
DATA: Final = ".data"


def data_of(path: Path) -> Path:
    """Where the weights of a large model lie."""
    return path.with_name(path.name + DATA)


def write(
    path: Path, net: SuperNet, model: ModelProto, arrays: Mapping[str, Array], described: Described, verified: bool, largest: int
) -> float | None:
    """Write a model with its weights, and compare it with torch if it is to be `verified`; returns the largest relative difference."""
    size = sum(array.nbytes for array in arrays.values())
    _room_for(path, size)
    with enough_memory(path):
        if size > largest:
            return _write_two(path, net, model, arrays, described, verified)
        with replacing(path) as temporary:
            models.inline(model, arrays)
            temporary.write_bytes(model.SerializeToString())
            return _checked(net, temporary, described, verified)


def _write_two(
    path: Path, net: SuperNet, model: ModelProto, arrays: Mapping[str, Array], described: Described, verified: bool
) -> float | None:
    data = data_of(path)
    with replacing(path) as temporary, replacing(data) as weights:  # the weights come to their place first
        models.beside(model, arrays, weights, weights.name)
        temporary.write_bytes(model.SerializeToString())
        found = _checked(net, temporary, described, verified)
        models.relocate(model, data.name)
        temporary.write_bytes(model.SerializeToString())
    return found


def _checked(net: SuperNet, path: Path, described: Described, verified: bool) -> float | None:
    verify.check(path)
    return verify.difference(net, path, described) if verified else None


def _room_for(path: Path, size: int) -> None:
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if (free := shutil.disk_usage(folder).free) < size:
        raise BadFile(f"{path} needs {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free", hint="free some space or choose another place")


@contextmanager
def enough_memory(path: Path) -> Iterator[None]:
    """Says in one line that memory was short, if it was."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "alloc" not in str(error).lower():
            raise
        raise SuperserveError(f"there is not enough memory to write {path}", hint="export fewer subnets, or on a larger machine") from error
