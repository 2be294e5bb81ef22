"""Workers that a router must survive, each with the shape of a sleeper."""

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.profiles import load
from superserve_cli.serving.model import Model
from superserve_cli.serving.workers.sleep import OverlappingSleeper, answer


class Misfit:
    """Answers as a sleeper does, unless a batch begins with the number that it cannot bear."""

    def __init__(self, does: str) -> None:
        self._does = does

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        if batch.flat[0] == 13:
            self._misbehave()
        return answer(batch)

    def _misbehave(self) -> None:
        if self._does == "hangs":
            time.sleep(3600)
        if self._does == "raises":
            raise ArithmeticError("13")
        if self._does == "babbles":
            with socket.socket(fileno=os.dup(int(sys.argv[1]))) as control:
                control.send(b"what you would never expect")
        if self._does == "shrinks":
            os.truncate(int(sys.argv[2]), 0)

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"device": "sleep", "threads": 1}


class Fumbler(OverlappingSleeper):
    """Overlaps, and breaks in the thread that waits for its batches."""

    def finish(self, slot: int) -> NDArray[np.float32]:
        raise ArithmeticError(slot)


def make(does: str) -> tuple[Misfit, Model]:
    return Misfit(does), Model("misfit", "none", (3,), 10)


def fumbler(profile: str) -> tuple[Fumbler, Model]:
    return Fumbler(load(profile), 0.001), Model("fumbler", "none", (3,), 10)


def by_lives(counter: str, does: Sequence[str]) -> tuple[Misfit, Model]:
    """A worker whose lives differ: each does what is said of it before it is made, the last of them for all that follow."""
    lives = Path(counter)
    life = len(lives.read_text()) if lives.exists() else 0
    lives.write_text("x" * (life + 1))
    now = does[min(life, len(does) - 1)]
    if now == "fails":
        raise ArithmeticError(life)
    if now == "sleeps":
        time.sleep(3600)
    if now in ("ready", "babbles early"):
        with socket.socket(fileno=os.dup(int(sys.argv[1]))) as control:
            control.send(b"ready" if now == "ready" else bytes(range(256)))
        time.sleep(3600)
    if now == "another":
        return Misfit(now), Model("another", "none", (3,), 10)
    return make(now)
