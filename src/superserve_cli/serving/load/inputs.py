"""What is sent: rows from labelled samples, from a file, or random ones, and which of them each request takes."""

import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.errors import BadFile, BadOption
from superserve_cli.serving.load.target import Input, Target
from superserve_cli.serving.tensors import DTYPES
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace

Array = NDArray[Any]
SEED: Final = 0
VARIETY: Final = 256
"""How many random rows there are, or fewer when they would take more bytes than this:"""
POOL_BYTES: Final = 1 << 26
WORDS: Final = 2
"""Random integers are below it where they may be words: 0 and 1 are in any vocabulary."""
NUMBERS: Final = {name: dtype for name, dtype in DTYPES.items() if name not in ("BYTES", "BF16")}
"""What is in a message as it is in numpy."""
FLOATS: Final = ("FP16", "FP32", "FP64")
INTEGERS: Final = ("INT32", "INT64", "UINT32", "UINT64")
"""What words are sent as."""
OWN: Final = "give rows of your own with --inputs FILE.npz"


@dataclass(frozen=True)
class Draw:
    """`tensors` hold the same number of rows each, in the order of the model's inputs; request i takes `count[i]` from `first[i]` on.

    `labels` are the rows' classes, None where they are not known; `floor` the least accuracies, 0 for none.
    """

    tensors: tuple[Array, ...]
    labels: NDArray[np.int64] | None
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    floor: NDArray[np.float64]

    def part(self, ids: slice) -> "Draw":
        """What some of the requests send."""
        return replace(self, first=self.first[ids], count=self.count[ids], floor=self.floor[ids])

    @property
    def bytes_each(self) -> float:
        """The mean size of a request's tensors."""
        return sum(tensor[0].nbytes for tensor in self.tensors) * float(self.count.mean()) if len(self.count) else 0.0


def draw(target: Target, trace: Trace, samples: Split | None = None, file: Path | None = None) -> Draw:
    """Rows for every request of a trace; raises BadOption for what the model does not take, BadFile for a file that is none."""
    count = np.ones(len(trace), np.int64) if trace.size is None else trace.size.astype(np.int64)
    most = int(count.max(initial=1))
    if most > 1 and not all(one.stacked for one in target.inputs):
        raise BadOption(
            f"{target.model} at {target.place} takes a fixed number of rows, and the trace has requests of several", hint="leave --mix out"
        )
    tensors, labels = _rows(target, samples, file)
    n = max(most, len(tensors[0]))
    # shuffled, because a sorted test set would show a short run one class only
    order = np.random.default_rng(SEED).permutation(n)
    return Draw(
        tensors=tuple(_repeated(tensor, n) for tensor in tensors),
        labels=None if labels is None else np.resize(labels, n),
        first=np.minimum(np.resize(order, len(trace)), n - count),
        count=count,
        floor=np.zeros(len(trace)) if trace.min_accuracy is None else trace.min_accuracy,
    )


def _repeated(tensor: Array, n: int) -> Array:
    return np.ascontiguousarray(tensor if len(tensor) == n else np.resize(tensor, (n, *tensor.shape[1:])))


def _rows(target: Target, samples: Split | None, file: Path | None) -> tuple[tuple[Array, ...], NDArray[np.int64] | None]:
    if file is not None:
        return _from_file(target, file), None
    if samples is None:
        return _random(target), None
    if len(target.inputs) != 1:
        raise BadOption(f"{target.model} at {target.place} takes {len(target.inputs)} inputs, and samples are one", hint=OWN)
    return (_checked(target, target.inputs[0], samples.x),), samples.y


def _random(target: Target) -> tuple[Array, ...]:
    """Rows that differ; their numbers are multiples of 1/256, which every float holds and JSON writes in a few characters."""
    rng = np.random.default_rng(SEED)
    dtypes = [_dtype(target, one, NUMBERS) for one in target.inputs]
    shapes = [tuple(max(n, 1) for n in one.shape) for one in target.inputs]
    row_bytes = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in zip(shapes, dtypes, strict=True))
    rows = max(1, min(VARIETY, POOL_BYTES // max(1, row_bytes)))
    return tuple(_noise(rng, (rows, *shape), dtype) for shape, dtype in zip(shapes, dtypes, strict=True))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    below = {"b": 2, "f": 256}.get(dtype.kind, 256 if dtype == np.uint8 else WORDS)
    drawn = rng.integers(0, below, shape, np.uint8)
    return drawn.astype(dtype) / dtype.type(256) if dtype.kind == "f" else drawn.astype(dtype)


def _from_file(target: Target, file: Path) -> tuple[Array, ...]:
    arrays = _read(target, file)
    if missing := [one.name for one in target.inputs if one.name not in arrays]:
        raise BadFile(f"{file} lacks the inputs {', '.join(missing)} of {target.model}", hint=f"it has {', '.join(arrays) or 'none'}")
    found = tuple(_checked(target, one, arrays[one.name], exactly=True) for one in target.inputs)
    if len({len(rows) for rows in found}) > 1 or not len(found[0]):
        raise BadFile(f"the arrays of {file} must have one and the same number of rows", hint="the first dimension counts rows")
    return found


def _read(target: Target, file: Path) -> Mapping[str, Array]:
    """The arrays of a file by the names of the inputs they are for."""
    try:
        with file.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            return {name: loaded[name] for name in loaded} if isinstance(loaded, np.lib.npyio.NpzFile) else {target.inputs[0].name: loaded}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadFile(
            f"{file} cannot be read as arrays: {error}", hint="write it with numpy.save, or numpy.savez by the inputs' names"
        ) from None


def _checked(target: Target, wanted: Input, x: Array, exactly: bool = False) -> Array:
    """Rows as the model wants them; another shape, images to a model of words, and numbers that would change are refused."""
    if not wanted.stacked and wanted.shape[:1] == (1,) and x.ndim == len(wanted.shape):
        x = x[:, np.newaxis]
    shape = x.shape[1:]
    if x.ndim == 0 or len(shape) != len(wanted.shape) or any(n not in (-1, has) for n, has in zip(wanted.shape, shape, strict=True)):
        raise BadOption(
            f"{target.model} at {target.place} takes tensors of shape {list(wanted.shape)}, the samples have {list(shape)}",
            hint="choose the task that its SuperNet was built for, or give rows with --inputs",
        )
    if exactly:
        return _exactly(target, wanted, x)
    return np.ascontiguousarray(x, _dtype(target, wanted, FLOATS if x.dtype.kind == "f" else INTEGERS))


def _exactly(target: Target, wanted: Input, x: Array) -> Array:
    dtype = _dtype(target, wanted, NUMBERS)
    if x.dtype != dtype:
        raise BadOption(
            f"{wanted.name} of {target.model} takes {wanted.datatype}, and the file's array is {x.dtype}", hint=f"write it as {dtype.name}"
        )
    return np.ascontiguousarray(x)


def _dtype(target: Target, wanted: Input, allowed: Collection[str]) -> np.dtype[Any]:
    if wanted.datatype not in allowed:
        raise BadOption(
            f"{target.model} at {target.place} takes {wanted.datatype}, which these samples are not",
            hint=f"choose a model that takes one of {', '.join(allowed)}, or {OWN}",
        )
    return DTYPES[wanted.datatype]
