"""The drift guard: workers that are slower than their profile says are planned as slow, until they are not any more.

A plan is a promise on the tail: a batch of its cell (subnet, batch size) takes no longer. A worker is slow when two things hold of its
last batches. In the middle they take longer than in the middle when they were profiled (or than planned, where the profile knows no
more), and several of them broke the promise: where the tail is much longer than the middle, a slower device may well keep it, and
planning need not change. Its scale is how much slower it is in the middle, but no more than what all of its last batches would have
kept: throttling and other tenants of a device stretch the tail as they do the middle, and outliers do not move a median.

A batch that does not fill its cell may well be faster than that, so it is evidence only when it is slower.
"""

import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from math import ceil
from statistics import median
from typing import Final, NamedTuple

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, Subnet, new
from superserve_cli.engine.scaled import AS_PLANNED
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.serving.logs import Event

log = logging.getLogger("superserve.drift")

SPACING_NS: Final = 20 * NS_PER_MS
"""At most one batch in so long is looked at: a hiccup of the machine is no drift, however many short batches it meets."""
KEPT: Final = 16
"""So many batches make a median: nine slow ones are noticed, seven outliers are not."""
OLDEST: Final = 64
"""A batch that was looked at so many batches ago says nothing any more."""
NEEDED: Final = 8
ENOUGH: Final = 2
"""So many are enough of a worker that is known to have been slow."""
BROKEN: Final = 3
"""So many broken promises among the last batches are no accident."""
SLOW: Final = 1.1
RECOVERED: Final = 1.05
CHANGED: Final = 1.1
"""A scale that differs by less than this factor is the same."""
MOST: Final = 8 * AS_PLANNED
"""Less than the ten times after which a worker is taken for hung."""
STEP: Final = AS_PLANNED // 100
FIRST_DOUBT_NS: Final = 5 * NS_PER_S
LONGEST_DOUBT_NS: Final = 80 * NS_PER_S
"""A slow worker that is given no batch for so long is tried anew; each time in vain, it is left alone for twice as long."""
CELL_WEIGHT: Final = 1 / 16


class Ratios(NamedTuple):
    """How long a batch took, as parts of the profile's median latency of its cell, and of its plan."""

    to_median: float
    to_plan: float


class Pulse:
    """How slow one worker is, from the ratios of its batches."""

    def __init__(self) -> None:
        self.thousandths = AS_PLANNED
        self.last_ns = -SPACING_NS
        self._looked_ns = -SPACING_NS
        self._batches = 0
        self._kept: deque[tuple[int, Ratios]] = deque(maxlen=KEPT)
        self._needed = NEEDED
        self._doubt_ns = FIRST_DOUBT_NS

    def observe(self, ratios: Ratios, whole: bool, now_ns: int) -> int:
        """A batch, a `whole` cell or a part of one, took so long; the scale from now on, in thousandths."""
        self.last_ns = now_ns
        if now_ns - self._looked_ns < SPACING_NS:
            return self.thousandths
        self._looked_ns = now_ns
        self._batches += 1
        if whole or ratios.to_median > 1:
            self._kept.append((self._batches, ratios))
        while self._kept and self._batches - self._kept[0][0] >= OLDEST:
            self._kept.popleft()
        if self.thousandths > AS_PLANNED or ratios.to_plan > 1:  # nothing else makes a worker slow, or well again
            self.thousandths = self._judged()
        return self.thousandths

    def _judged(self) -> int:
        """The scale that the last batches speak for; it is kept for small differences."""
        if len(self._kept) < self._needed:
            return AS_PLANNED
        middle = median(ratios.to_median for _, ratios in self._kept)
        tail = sorted((ratios.to_plan for _, ratios in self._kept), reverse=True)[:BROKEN]
        known = self.thousandths > AS_PLANNED
        if middle <= (RECOVERED if known else SLOW) or tail[-1] <= (1 / RECOVERED if known else 1):
            if len(self._kept) >= NEEDED:
                self._needed, self._doubt_ns = NEEDED, FIRST_DOUBT_NS
            return AS_PLANNED
        self._needed = ENOUGH
        slowness = min(middle, tail[0])
        if known and 1 / CHANGED < slowness * AS_PLANNED / self.thousandths < CHANGED:
            return self.thousandths
        return min(MOST, max(AS_PLANNED, ceil(slowness * AS_PLANNED / STEP) * STEP))

    def doubt(self, now_ns: int) -> bool:
        """Whether a slow worker has had no batch for so long that it is to be tried anew, as planned."""
        if self.thousandths == AS_PLANNED or now_ns - self.last_ns < self._doubt_ns:
            return False
        self._doubt_ns = min(2 * self._doubt_ns, LONGEST_DOUBT_NS)
        self._kept.clear()
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
        """By cell, the weighted average of its last ratios to the median."""

    def observe(self, worker: int, subnet: Subnet, rows: int, took_ns: int, now_ns: int) -> None:
        """A worker has run a batch."""
        sizes = self._profile.batch_sizes
        size = sizes[bisect_left(sizes, rows)]
        median_ns, plan_ns = self._expected_ns[subnet, size]
        ratios, whole = new(Ratios, (took_ns / median_ns, took_ns / plan_ns)), rows == size
        if whole:
            known = self.cells.get((subnet, size), ratios.to_median)
            self.cells[subnet, size] = known + CELL_WEIGHT * (ratios.to_median - known)
        before = self._pulses[worker].thousandths
        if (now := self._pulses[worker].observe(ratios, whole, now_ns)) != before:
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
        level = logging.INFO if min(before, now) > AS_PLANNED else logging.WARNING  # its beginning and its end matter most
        log.log(level, Event("drift", worker=worker, scale=now / AS_PLANNED, why=why))
        self._scale(worker, now)


def _expected(profile: Profile) -> Mapping[tuple[Subnet, int], tuple[int, int]]:
    """By cell, the latency in the middle (the planned one where no quantiles are known), and the planned one."""
    middle = LEVELS.index(0.50)
    return {
        (subnet, size): (max(1, plan_ns if profile.quantiles_ns is None else int(profile.quantiles_ns[i, j, middle])), plan_ns)
        for i, subnet in enumerate(profile.subnets)
        for j, (size, plan_ns) in enumerate(zip(profile.batch_sizes, profile.plan[i], strict=True))
    }
