from typing import Any

import numpy as np
from numpy.typing import NDArray

from superserve_cli.errors import SuperserveError
from superserve_cli.tasks.task import Split, Task


def digits(seed: int = 0) -> Task:
    """The handwritten digits that come with scikit-learn: 1,797 images of 8x8, split 50 : 10 : 40 by the seed."""
    images, y = handwritten("digits")
    return divided("digits", (images[:, None] / 8 - 1).astype(np.float32), y, seed)


def handwritten(task: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The images (1797, 8, 8), of whole numbers from 0 to 16, and their digits; raises what says which package is missing."""
    try:
        from sklearn.datasets import load_digits  # an extra: everything else works without it
    except ImportError:
        raise SuperserveError(f"the task {task} needs scikit-learn", hint="pip install superserve-cli[digits]") from None
    data = load_digits()
    return data.images, data.target.astype(np.int64)


def divided(name: str, x: NDArray[Any], y: NDArray[np.int64], seed: int) -> Task:
    """The digits as a task in some form, split 50 : 10 : 40 by the seed, the same ones in every form."""
    order = np.random.default_rng(seed).permutation(len(y))
    parts = dict(zip(("train", "validation", "test"), np.split(order, [len(y) // 2, len(y) * 6 // 10]), strict=True))
    return Task(name, x.shape[1:], tuple("0123456789"), lambda split: Split(x[parts[split]], y[parts[split]]))
