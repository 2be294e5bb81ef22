"""The memory that a router and a worker process share: a ring of slots, each with room for one batch and its answer.

It is anonymous memory behind a descriptor (`memfd`, shown as superserve_<pid of the router>_<worker> in /proc): no file system knows
its name, so nothing is left over however the processes end, SIGKILL of either or of both included, and nothing need be swept.
"""

import fcntl
import mmap
import os
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.serving.model import DATATYPE
from superserve_cli.serving.tensors import DTYPES
from superserve_cli.serving.workers.messages import Plan

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
"""A process that shrank the memory would have the other one killed at its next access (SIGBUS)."""


class Slot(NamedTuple):
    """Room for a batch: inputs (largest batch, *shape) of the model's own datatype, logits (largest batch, classes)."""

    inputs: NDArray[Any]
    logits: NDArray[np.float32]


def create(worker: int) -> int:
    """A descriptor of memory without a size."""
    return os.memfd_create(f"superserve_{os.getpid()}_{worker}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def allot(descriptor: int, plan: Plan) -> None:
    """Give the memory its size, for good."""
    os.ftruncate(descriptor, plan.slots * plan.slot_bytes)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)


def attach(descriptor: int, plan: Plan) -> list[Slot]:
    """The slots, in this process's own view; its pages are there already when the first batch comes."""
    memory = mmap.mmap(descriptor, plan.slots * plan.slot_bytes, mmap.MAP_SHARED | mmap.MAP_POPULATE)
    whole = np.frombuffer(memory, np.uint8).reshape(plan.slots, plan.slot_bytes)
    return [
        Slot(
            _shaped(room[: plan.input_bytes], DTYPES[plan.datatype], (plan.largest, *plan.shape)),
            _shaped(room[plan.input_bytes :], DTYPES[DATATYPE], (plan.largest, plan.classes)),
        )
        for room in whole
    ]


def _shaped(room: NDArray[np.uint8], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return room[: dtype.itemsize * prod(shape)].view(dtype).reshape(shape)
