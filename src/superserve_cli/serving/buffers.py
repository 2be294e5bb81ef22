from collections import defaultdict, deque
from sys import getrefcount
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MOST_KEPT_BYTES: Final = 128 * 1024 * 1024
TRIES: Final = 4
UNUSED: Final = 2
"""The references to what nobody else has: ours, and that of the call that counts them."""


class Buffers:
    """Memory for long bodies, used again as soon as nobody looks at it any more.

    Memory that is fresh from the system is mapped page by page when it is first written to, which takes longer than writing. Who looks
    at a buffer refers to it, by an array or by a memoryview, so the references say exactly when it can be had again: nobody gives any
    back. Sizes are rounded up to powers of two; what is not written to takes no memory.
    """

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._kept: defaultdict[int, deque[NDArray[Any]]] = defaultdict(deque)
        self._left = most_bytes

    def take(self, size: int) -> memoryview:
        """So many bytes, with anything in them."""
        rounded = 1 << (size - 1).bit_length()
        kept = self._kept[rounded]
        for _ in range(min(TRIES, len(kept))):  # the one that was taken longest ago is most likely free
            kept.rotate(-1)
            if getrefcount(buffer := kept[-1]) <= UNUSED + 1:
                return buffer.data[:size]
        fresh = np.empty(rounded, np.uint8)
        if rounded <= self._left:
            self._left -= rounded
            kept.append(fresh)
        return fresh.data[:size]
