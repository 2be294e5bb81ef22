"""A decision table as a search sees it: cells on a grid as fine as the SLO asks for, and small changes to a patch of them."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.policies import DROP, DecisionTable, grid
from superserve_cli.policies.table import LATER, LONG_AGO
from superserve_cli.profiles import Profile
from superserve_cli.traces import Trace

ROWS: Final = 48
"""Even steps of slack up to the SLO, beside the planned latencies: calm requests have nearly all of their SLO left."""
HIGHEST_PATCH: Final = 12
WIDEST_PATCH: Final = 16
FURTHEST: Final = 3
Cells = NDArray[np.int64]


class Board:
    """The cells of a table of `profile`, (slacks, depths), each a choice that fits the lower edge of its row, LATER or DROP."""

    def __init__(self, profile: Profile, slo_ns: int, deepest: int) -> None:
        plans = [plan for row in profile.plan for plan in row]
        shortest = min(plans)
        steps = np.linspace(shortest, max(slo_ns, shortest + 1), ROWS).astype(np.int64).tolist()
        self._profile, self._plans = profile, np.array([*plans, LONG_AGO, LONG_AGO])  # LATER and DROP, the last two, always fit
        self.slack_ns = sorted({plan for plan in plans if plan <= slo_ns} | set(steps))
        depths = grid.depths(profile)
        self.depth = depths[: max(2, bisect_left(depths, deepest) + 1)]

    def of(self, table: DecisionTable) -> Cells:
        """The cells of a table at the lower edges of this grid."""
        return np.array([[table.index(slack_ns, depth) for depth in self.depth] for slack_ns in self.slack_ns], np.int64)

    def table(self, cells: Cells, name: str) -> DecisionTable:
        """The table of these cells."""
        rows: Sequence[Sequence[int]] = [[DROP] * len(self.depth), *cells.tolist()]
        slacks, rows = grid.merged([LONG_AGO, *self.slack_ns], rows)
        depths, columns = grid.merged(self.depth, list(zip(*rows, strict=True)))
        return DecisionTable(name, self._profile, tuple(slacks), tuple(depths), tuple(zip(*columns, strict=True)))

    def moved(self, cells: Cells, random: np.random.Generator) -> Cells:
        """The same cells but for a patch that takes its neighbours' choices, or one for all of it (or waits), wherever that fits."""
        rows = _stretch(random, HIGHEST_PATCH, len(self.slack_ns))
        columns = _stretch(random, WIDEST_PATCH, len(self.depth))
        patch = np.ix_(rows, columns)
        offered = self._shifted(cells, rows, columns, random) if random.random() < 0.5 else random.choice(cells[patch].ravel())
        offered = self._other(random) if random.random() < 0.25 else offered
        fits = self._plans[offered] <= np.array(self.slack_ns)[rows][:, None]
        moved = cells.copy()
        moved[patch] = np.where(fits, offered, cells[patch])
        return moved

    def _shifted(self, cells: Cells, rows: Cells, columns: Cells, random: np.random.Generator) -> Cells:
        down, right = random.integers(-FURTHEST, FURTHEST + 1, 2)
        return cells[np.ix_((rows + down).clip(0, len(cells) - 1), (columns + right).clip(0, len(self.depth) - 1))]

    def _other(self, random: np.random.Generator) -> int:
        return LATER if random.random() < 1 / 3 else int(random.integers(0, len(self._plans) - 2))


def _stretch(random: np.random.Generator, longest: int, end: int) -> Cells:
    """Some neighbours among the numbers below `end`."""
    length = int(random.integers(1, longest + 1))
    first = int(random.integers(1 - length, end))
    return np.arange(max(0, first), min(first + length, end))


def longest_slo_ns(traces: Sequence[Trace], slo_ns: int) -> int:
    """The longest SLO of any request; `slo_ns` is that of requests that have none of their own."""
    return max(int((trace.deadlines_ns(slo_ns) - trace.arrival_ns).max()) for trace in traces)


def deepest(traces: Sequence[Trace], slo_ns: int) -> int:
    """The most requests that can wait at a time where none has a longer SLO: those of a window as long."""
    return max(_in_a_window(trace.arrival_ns, slo_ns) for trace in traces)


def _in_a_window(arrival_ns: Cells, window_ns: int) -> int:
    behind = np.searchsorted(arrival_ns, arrival_ns - window_ns)
    return int((np.arange(len(arrival_ns)) - behind).max()) + 1
