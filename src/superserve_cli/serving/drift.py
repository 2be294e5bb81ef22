"""The drift guard: workers that are slower than their profile says are planned as slow, until they are not any more.

A ratio compares like with like: the latency of a batch with the median that the profile measured for its cell (subnet, batch size), or
with the planned latency where the profile knows no more, which finds a slow worker later. The median of a worker's last ratios is its
scale: if everything takes twice as long in the middle, it does so in the tail that planning counts on. Throttling and other tenants of
a device do about that; single outliers do not move a median.

A batch that does not fill its cell may well be faster than that, so it is evidence only when it is slower.
"""

import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from math import ceil
from statistics import median
from typing import Final, NamedTuple

from superserve_cli.core.nouns import NS_PER_S, Subnet
from superserve_cli.engine.scaled import AS_PLANNED
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS

log = logging.getLogger("superserve.drift")

KEPT: Final = 16
"""So many ratios make a median: nine slow batches are noticed, seven outliers are not."""
OLDEST: Final = 64
"""A ratio that so many batches have followed says nothing any more."""
NEEDED: Final = 8
ENOUGH: Final = 2
"""So many ratios are enough of a worker that is known to have been slow."""
SLOW: Final = 1.1
RECOVERED: Final = 1.05
CHANGED: Final = 1.05
"""A scale that differs by less than this factor is the same."""
MOST: Final = 8 * AS_PLANNED
"""Less than the ten times after which a worker is taken for hung."""
STEP: Final = AS_PLANNED // 100
FIRST_DOUBT_NS: Final = 5 * NS_PER_S
LONGEST_DOUBT_NS: Final = 80 * NS_PER_S
"""A slow worker that is given no batch for so long is tried anew; each time in vain, it is left alone for twice as long."""
CELL_WEIGHT: Final = 1 / 16


class _Ratio(NamedTuple):
    batch: int
    ratio: float


class Pulse:
    """How slow one worker is, from the ratios of its batches."""

    def __init__(self) -> None:
        self.thousandths = AS_PLANNED
        self.last_ns = 0
        self._batches = 0
        self._ratios: deque[_Ratio] = deque(maxlen=KEPT)
        self._needed = NEEDED
        self._doubt_ns = FIRST_DOUBT_NS

    def observe(self, ratio: float, whole: bool, now_ns: int) -> int:
        """A batch took `ratio` times what was expected, as a `whole` cell or a part of one; the scale from now on, in thousandths."""
        self.last_ns = now_ns
        self._batches += 1
        if whole or ratio > 1:
            self._ratios.append(_Ratio(self._batches, ratio))
        while self._ratios and self._batches - self._ratios[0].batch >= OLDEST:
            self._ratios.popleft()
        if self.thousandths > AS_PLANNED or ratio > SLOW:  # nothing else makes a worker slow, or well again
            self.thousandths = self._judged()
        return self.thousandths

    def _judged(self) -> int:
        if len(self._ratios) < self._needed:
            return AS_PLANNED
        middle, scale = median(ratio for _, ratio in self._ratios), self.thousandths
        if middle <= (SLOW if scale == AS_PLANNED else RECOVERED):
            if len(self._ratios) >= NEEDED:
                self._needed, self._doubt_ns = NEEDED, FIRST_DOUBT_NS
            return AS_PLANNED
        self._needed = ENOUGH
        if scale > AS_PLANNED and 1 / CHANGED < middle * AS_PLANNED / scale < CHANGED:
            return scale
        return min(MOST, ceil(middle * AS_PLANNED / STEP) * STEP)

    def doubt(self, now_ns: int) -> bool:
        """Whether a slow worker has had no batch for so long that it is to be tried anew, as planned."""
        if self.thousandths == AS_PLANNED or now_ns - self.last_ns < self._doubt_ns:
            return False
        self._doubt_ns = min(2 * self._doubt_ns, LONGEST_DOUBT_NS)
        self._ratios.clear()
        self.thousandths = AS_PLANNED
        return True


class DriftGuard:
    """The pulses of all workers and the ratios of all cells; `scale` is told whenever planning for a worker is to change."""

    def __init__(self, profile: Profile, workers: int, scale: Callable[[int, int], None]) -> None:
        self._profile = profile
        self._expected_ns = _expected(profile)
        self._scale = scale
        self._pulses = [Pulse() for _ in range(workers)]
        self._slow = 0
        self.cells: dict[tuple[Subnet, int], float] = {}
        """By cell, the weighted average of its last ratios."""

    def observe(self, worker: int, subnet: Subnet, rows: int, took_ns: int, now_ns: int) -> None:
        """A worker has run a batch."""
        sizes = self._profile.batch_sizes
        size = sizes[bisect_left(sizes, rows)]
        ratio, whole = took_ns / self._expected_ns[subnet, size], rows == size
        if whole:
            known = self.cells.get((subnet, size), ratio)
            self.cells[subnet, size] = known + CELL_WEIGHT * (ratio - known)
        before = self._pulses[worker].thousandths
        if (now := self._pulses[worker].observe(ratio, whole, now_ns)) != before:
            self._tell(worker, before, now, "measured")
        self.doubt(now_ns)

    def doubt(self, now_ns: int) -> None:
        """Try slow workers anew that have had no batch for long: otherwise a scale that lets nothing run would never be measured again."""
        if not self._slow:
            return
        for worker, pulse in enumerate(self._pulses):
            before = pulse.thousandths
            if pulse.doubt(now_ns):
                self._tell(worker, before, AS_PLANNED, "untested")

    def _tell(self, worker: int, before: int, now: int, why: str) -> None:
        self._slow += (now > AS_PLANNED) - (before > AS_PLANNED)
        log.warning("event=drift worker=%d scale=%.2f why=%s", worker, now / AS_PLANNED, why)
        self._scale(worker, now)


def _expected(profile: Profile) -> Mapping[tuple[Subnet, int], int]:
    """By cell, the latency in the middle; the planned one where no quantiles are known."""
    middle = LEVELS.index(0.50)
    return {
        (subnet, size): max(1, profile.plan[i][j] if profile.quantiles_ns is None else int(profile.quantiles_ns[i, j, middle]))
        for i, subnet in enumerate(profile.subnets)
        for j, size in enumerate(profile.batch_sizes)
    }
