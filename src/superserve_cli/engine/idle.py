"""The simulator's idle workers: a flag for each, and where to look for the lowest."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Idle(NamedTuple):
    """One set of workers, of `size[0]`; none below `lowest[0]` has its flag set."""

    flag: NDArray[np.bool_]
    lowest: NDArray[np.int64]
    size: NDArray[np.int64]


def all_idle(workers: int) -> Idle:
    """So many workers, all idle."""
    return Idle(np.ones(workers, np.bool_), np.zeros(1, np.int64), np.array([workers]))


# numba wants the functions that stand in for those of steps.py to have their very signatures, Any and all


def push(queues: Any, at: Any, key: Any, id: Any) -> None:
    """A worker is idle."""
    queues.flag[id] = True
    queues.lowest[at] = min(queues.lowest[at], id)
    queues.size[at] += 1


def head(queues: Any, at: Any) -> Any:
    """The lowest idle worker, twice: it is its own key."""
    worker = queues.lowest[at]
    while not queues.flag[worker]:
        worker += 1
    queues.lowest[at] = worker
    return worker, worker


def count(queues: Any, at: Any) -> Any:
    """How many workers are idle."""
    return queues.size[at]


def discard(queues: Any, at: Any, key: Any, id: Any) -> Any:
    """A worker is lost; whether it was idle."""
    if not queues.flag[id]:
        return False
    queues.flag[id] = False
    queues.size[at] -= 1
    return True
