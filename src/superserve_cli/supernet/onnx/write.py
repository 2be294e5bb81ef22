"""Writes models: whole and right, or not at all."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from google.protobuf.message import EncodeError
from onnx import ModelProto
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

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
COPIES: Final = 3
"""How often the weights lie in memory besides themselves: in the message, encoded, and in the session that they are checked with."""
SHORT_OF_MEMORY: Final = "export fewer subnets, or on a larger machine"


def data_of(path: Path) -> Path:
    """Where the weights of a large model lie."""
    return path.with_name(path.name + DATA)


def write(
    path: Path, net: SuperNet, model: ModelProto, arrays: Mapping[str, Array], described: Described, verified: bool, largest: int
) -> float | None:
    """Write a model with its weights, and compare it with torch if it is to be `verified`; returns the largest relative difference."""
    size = sum(array.nbytes for array in arrays.values())
    room_for(path, size, shutil.disk_usage(_folder(path)).free, available_memory())
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


def room_for(path: Path, size: int, disk: int, memory: int) -> None:
    """Raises BadFile or SuperserveError where weights of `size` bytes need more than there is on the disk or in memory."""
    if disk < size:
        raise BadFile(f"{path} needs {size / 1e9:.1f} GB, and {disk / 1e9:.1f} GB are free", hint="free some space or choose another place")
    if memory < size * COPIES:
        raise SuperserveError(
            f"{path} needs {size * COPIES / 1e9:.1f} GB of memory, and {memory / 1e9:.1f} GB are available", hint=SHORT_OF_MEMORY
        )


def _folder(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.exists())


def available_memory() -> int:
    """How many bytes of memory are available; where the system does not say, as many as one could wish for."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return sys.maxsize
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), sys.maxsize)


@contextmanager
def enough_memory(path: Path) -> Iterator[None]:
    """Says in one line that memory was short, if it was; protobuf then fails to encode, of which no size can be the reason here."""
    try:
        yield
    except (MemoryError, EncodeError, RuntimeError, RuntimeException) as error:
        if isinstance(error, RuntimeError | RuntimeException) and "alloc" not in str(error).lower():
            raise
        raise SuperserveError(f"there is not enough memory to write {path}", hint=SHORT_OF_MEMORY) from error
