import numpy as np

from superserve_cli.errors import SuperserveError
from superserve_cli.tasks.task import Split, Task


def digits(seed: int = 0) -> Task:
    """The handwritten digits that come with scikit-learn: 1,797 images of 8x8, split 50 : 10 : 40 by the seed."""
    try:
        from sklearn.datasets import load_digits  # an extra: everything else works without it
    except ImportError:
        raise SuperserveError("the task digits needs scikit-learn", hint="pip install superserve-cli[digits]") from None
    data = load_digits()
    x = (data.images[:, None] / 8 - 1).astype(np.float32)
    y = data.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(y))
    parts = dict(zip(("train", "validation", "test"), np.split(order, [len(y) // 2, len(y) * 6 // 10]), strict=True))
    return Task("digits", (1, 8, 8), tuple("0123456789"), lambda split: Split(x[parts[split]], y[parts[split]]))
