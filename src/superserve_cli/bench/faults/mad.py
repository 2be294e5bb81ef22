"""A worker that talks nonsense to its router, now and then, instead of an answer: for tests of the slot protocol's other end."""

import os
import random
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.bench.faults.mutate import mutated
from superserve_cli.core.nouns import Subnet
from superserve_cli.profiles import Profile, load
from superserve_cli.serving.model import Model
from superserve_cli.serving.workers import sleep
from superserve_cli.serving.workers.turns import DONE, FREE, REPORT

SANE: Final = 0.9
SEEDS: Final = (REPORT.pack(DONE, 0, 0, 0, 0), REPORT.pack(FREE, 0, 0, 0, 0), b"ready", b"{}")


class Mad(sleep.SleepWorker):
    """A sleeper that babbles before one in ten answers."""

    def __init__(self, profile: Profile, seed: int) -> None:
        super().__init__(profile)
        self._moods = random.Random(seed ^ os.getpid())

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Sleep, and answer; or say something else first."""
        if self._moods.random() > SANE:
            with socket.socket(fileno=os.dup(int(sys.argv[1]))) as control:
                control.send(mutated(self._moods, self._moods.choice(SEEDS), SEEDS) or b"?")
        return super().infer(subnet, batch)


def make(profile: str, shape: Sequence[int], seed: int) -> tuple[Mad, Model]:
    """One that pretends to hold the subnets of a profile file."""
    return Mad(load(profile), seed), Model("sleeper", "none", tuple(shape), sleep.CLASSES)
