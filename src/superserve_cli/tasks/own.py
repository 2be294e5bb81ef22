"""The user's own images, from one NumPy file."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.errors import BadFile
from superserve_cli.tasks.task import Split, Task

HINT: Final = "it needs x_train, y_train, x_val, y_val, x_test, y_test (images n,channels,height,width and class indices), or x and y"
NAMES: Final = {"train": "train", "validation": "val", "test": "test"}
SHARES: Final = (0.7, 0.1)
"""Of a file with only `x` and `y`: what is for training, what for validation; the rest is for testing."""

Arrays = Mapping[str, NDArray[Any]]


def own(path: Path, seed: int = 0) -> Task:
    """A task from the arrays of an .npz file, or from its `x` and `y`, split 70 : 10 : 20 by the seed; raises BadFile."""
    arrays = _read(path)
    splits = _given(path, arrays) if "x_train" in arrays else _divided(path, arrays, seed)
    shapes = {split.x.shape[1:] for split in splits.values()}
    if len(shapes) > 1:
        raise BadFile(f"{path}: the splits hold images of different shapes", hint=" and ".join(sorted(map(str, shapes))))
    classes = int(max(split.y.max() for split in splits.values())) + 1
    if classes < 2:
        raise BadFile(f"{path}: all images are of one class", hint="class indices count from 0; a task needs at least two classes")
    shape = splits["train"].x.shape[1:]
    return Task(f"npz-{path.stem}", (shape[0], shape[1], shape[2]), tuple(map(str, range(classes))), splits.__getitem__)


def training_images(path: Path, seed: int = 0) -> NDArray[np.float32]:
    """The images (n, channels, height, width) that a task of an .npz file trains on; raises BadFile.

    No labels are needed: of a file with `x` alone, all.
    """
    arrays = _read(path)
    if "x_train" not in arrays and "y" in arrays:
        return _divided(path, arrays, seed)["train"].x
    if not (names := [name for name in ("x_train", "x") if name in arrays]):
        raise BadFile(f"{path} lacks x and x_train", hint=HINT)
    return _images(path, names[0], arrays[names[0]])


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as raw:
            stored = np.load(raw, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise BadFile(f"{path} is not a readable .npz file: it holds one array", hint=HINT)
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=HINT) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadFile(f"{path} is not a readable .npz file of plain arrays: {error}", hint=HINT) from error


def _given(path: Path, arrays: Arrays) -> dict[str, Split]:
    return {split: _split(path, arrays, f"x_{name}", f"y_{name}") for split, name in NAMES.items()}


def _divided(path: Path, arrays: Arrays, seed: int) -> dict[str, Split]:
    x, y = _split(path, arrays, "x", "y")
    order = np.random.default_rng(seed).permutation(len(y))
    train, validation = (round(len(y) * share) for share in SHARES)
    parts = dict(zip(NAMES, np.split(order, [train, train + validation]), strict=True))
    if not all(map(len, parts.values())):
        raise BadFile(f"{path} has {len(y)} images, too few to split", hint="give at least 10 images")
    return {split: Split(x[part], y[part]) for split, part in parts.items()}


def _split(path: Path, arrays: Arrays, x_name: str, y_name: str) -> Split:
    if missing := [name for name in (x_name, y_name) if name not in arrays]:
        raise BadFile(f"{path} lacks {' and '.join(missing)}", hint=HINT)
    return Split(_images(path, x_name, arrays[x_name]), _labels(path, y_name, arrays[y_name], len(arrays[x_name])))


def _images(path: Path, name: str, x: NDArray[Any]) -> NDArray[np.float32]:
    complain = _complainer(path, name)
    if x.ndim != 4 or not x.size:
        raise complain(f"has the shape {x.shape}", "images are (n, channels, height, width), and n is not 0")
    if x.shape[2] != x.shape[3]:
        raise complain(f"holds images of {x.shape[2]}x{x.shape[3]}", "images are square")
    if x.dtype.kind not in "fiub":
        raise complain(f"holds {x.dtype}", "images are numbers")
    images = x.astype(np.float32)
    if not np.isfinite(images).all():
        raise complain("holds NaN, infinity or numbers beyond float32", "clean the images first")
    return images


def _labels(path: Path, name: str, y: NDArray[Any], images: int) -> NDArray[np.int64]:
    complain = _complainer(path, name)
    if y.shape != (images,):
        raise complain(f"has the shape {y.shape}", f"one class index for each of the {images} images")
    if y.dtype.kind not in "iu":
        raise complain(f"holds {y.dtype}", "class indices are integers that count from 0")
    if int(y.min()) < 0:
        raise complain(f"holds the class {y.min()}", "class indices count from 0")
    return y.astype(np.int64)


def _complainer(path: Path, name: str) -> Callable[[str, str], BadFile]:
    return lambda what, hint: BadFile(f"{path}: {name} {what}", hint=hint)
