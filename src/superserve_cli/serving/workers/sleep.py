"""Workers that take a known time and answer a known thing: for tests, and to measure the rest of the server."""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S, Subnet
from superserve_cli.engine.world import draw_ns
from superserve_cli.profiles import Profile, load
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.serving.clock import Clock
from superserve_cli.serving.links import Listener
from superserve_cli.serving.model import Model

CLASSES = 10
AWAKE_S = 0.0003


def answer(batch: NDArray[Any], classes: int = CLASSES) -> NDArray[np.float32]:
    """What a sleeper answers: the sum of each row, in every class."""
    sums = batch.reshape(len(batch), -1).sum(axis=1, dtype=np.float32)
    return np.repeat(sums[:, None], classes, axis=1)


def sleep_exactly(seconds: float) -> None:
    """Sleep, and stay awake towards the end: a timer alone is late by more than a tenth of a millisecond."""
    until_ns = time.monotonic_ns() + round(seconds * NS_PER_S)
    if seconds > AWAKE_S:
        time.sleep(seconds - AWAKE_S)
    while time.monotonic_ns() < until_ns:
        pass


def slowed_by(path: Path) -> Callable[[float], None]:
    """A sleep that lasts as many times as long as a file says, as long as it is there."""
    return lambda seconds: sleep_exactly(seconds * (float(path.read_text()) if path.exists() else 1.0))


class SleepWorker:
    """A core.nouns.Worker that sleeps as long as its profile plans, or with a `seed` for times drawn from the profile's quantiles."""

    def __init__(self, profile: Profile, sleep: Callable[[float], None] = sleep_exactly, seed: int | None = None) -> None:
        self._profile = profile
        self._sleep = sleep
        self._random = None if seed is None or profile.quantiles_ns is None else np.random.default_rng(seed)
        self._quantiles_ns = [] if profile.quantiles_ns is None else profile.quantiles_ns.reshape(-1).tolist()

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Sleep, then answer."""
        self._sleep(self._takes_ns(subnet, len(batch)) / NS_PER_S)
        return answer(batch)

    def _takes_ns(self, subnet: Subnet, rows: int) -> int:
        if self._random is None:
            return self._profile.plan_ns(subnet, rows)
        sizes = self._profile.batch_sizes
        cell = self._profile.index(subnet) * len(sizes) + bisect_left(sizes, rows)
        return draw_ns(self._quantiles_ns, LEVELS, cell, float(self._random.random()))

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        """A sleeper is always warm."""

    def describe(self) -> dict[str, Any]:
        """Its latencies come from a table."""
        return {"device": "sleep", "threads": 1}


class OverlappingSleeper(SleepWorker):
    """A sleeper with a device that takes batches while it works, and does one after the other; to begin one takes `begin_s`."""

    slots = 2

    def __init__(self, profile: Profile, begin_s: float) -> None:
        super().__init__(profile)
        self._begin_s = begin_s
        self._through_s = 0.0
        self._begun: dict[int, tuple[NDArray[Any], float]] = {}

    def begin(self, slot: int, subnet: Subnet, batch: NDArray[Any]) -> None:
        """Queue a batch on the device."""
        time.sleep(self._begin_s)
        self._through_s = max(time.monotonic(), self._through_s) + self._profile.plan_ns(subnet, len(batch)) / NS_PER_S
        self._begun[slot] = batch, self._through_s

    def finish(self, slot: int) -> NDArray[np.float32]:
        """Sleep until the device is through."""
        batch, through_s = self._begun.pop(slot)
        self._sleep(max(0.0, through_s - time.monotonic()))
        return answer(batch)


class SleepLink:
    """A router's link to a worker that only lets a clock pass; with a virtual clock, a server without real time.

    `overhead_ns` is what handing a batch over takes beside its planned latency. A worker with a `tail_ns` is free so long before it
    answers. `slowness` is how much longer than planned it takes, and may change.
    """

    def __init__(self, index: int, profile: Profile, clock: Clock, overhead_ns: int = 0, tail_ns: int = 0) -> None:
        self._index = index
        self._profile = profile
        self._clock = clock
        self._overhead_ns = overhead_ns
        self._tail_ns = tail_ns
        self._lives = 0
        self._listener: Listener | None = None
        self.slowness = 1.0
        self.started: list[tuple[Subnet, int]] = []

    def report_to(self, listener: Listener) -> None:
        """It is warm at once."""
        self._listener = listener
        listener.restored(self._index)

    def start(self, subnet: Subnet, batch: Sequence[NDArray[Any]], plan_ns: int) -> None:
        """Be done when its time has passed, unless it dies before."""
        rows = np.concatenate(batch)
        self.started.append((subnet, len(rows)))
        takes_ns = round(self._profile.plan_ns(subnet, len(rows)) * self.slowness)
        life = self._lives
        if self._tail_ns:
            self._clock.call_later(takes_ns + self._overhead_ns - self._tail_ns, lambda: self._free(life))
        self._clock.call_later(takes_ns + self._overhead_ns, lambda: self._done(life, rows, takes_ns))

    def look(self) -> None:
        """Nothing: it reports when its time has passed, and never late."""

    def die(self, reason: str = "ended") -> None:
        """Lose what it has not answered."""
        assert self._listener is not None
        self._lives += 1
        self._listener.lost(self._index, reason)

    def revive(self) -> None:
        """Be there again."""
        assert self._listener is not None
        self._listener.restored(self._index)

    def _free(self, life: int) -> None:
        if life == self._lives and self._listener is not None:
            self._listener.free(self._index)

    def _done(self, life: int, rows: NDArray[Any], compute_ns: int) -> None:
        if life == self._lives and self._listener is not None:
            self._listener.done(self._index, answer(rows), compute_ns)


def make(
    profile: str, shape: Sequence[int], name: str = "sleeper", begin_s: float = 0.0, seed: int | None = None, slow: str | None = None
) -> tuple[SleepWorker, Model]:
    """A sleeper that pretends to hold the subnets of a profile file.

    One that takes time to begin takes the next batch meanwhile; one that does not takes what the profile's quantiles say if it has a
    `seed`, and that times what the file `slow` says.
    """
    measured = load(profile)
    sleep = sleep_exactly if slow is None else slowed_by(Path(slow))
    worker = OverlappingSleeper(measured, begin_s) if begin_s else SleepWorker(measured, sleep, seed)
    return worker, Model(name, "none", tuple(shape), CLASSES)
