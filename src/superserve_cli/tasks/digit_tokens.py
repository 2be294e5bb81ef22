from typing import Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.tasks.digits import divided, handwritten
from superserve_cli.tasks.task import Task

PATCH: Final = 2
DARK: Final = 8
"""From which grey on, of 0 to 16, a pixel counts as dark."""
PATTERNS: Final = 2 ** (PATCH * PATCH)


def digit_tokens(seed: int = 0) -> Task:
    """Scikit-learn's handwritten digits as texts of 16 words, for networks that read words; split as the task digits is.

    A word says which patch of 2x2 pixels it is and which of them are dark: 256 words from 1 on, 0 is left for padding.
    """
    images, y = handwritten("digit-tokens")
    return divided("digit-tokens", words(images), y, seed)


def words(images: NDArray[np.float64]) -> NDArray[np.int64]:
    """The patches (n, 16) of images (n, 8, 8), row by row, each as 1 + 16 * its place + the number that its dark pixels make."""
    n, side, _ = images.shape
    across = side // PATCH
    pixels = images.reshape(n, across, PATCH, across, PATCH).swapaxes(2, 3).reshape(n, across * across, PATCH * PATCH)
    pattern = (pixels >= DARK).astype(np.int64) @ 2 ** np.arange(PATCH * PATCH)
    return np.asarray(1 + PATTERNS * np.arange(across * across) + pattern, np.int64)
