"""The points at which a policy is asked that computes with slack and depth, and how its answers become a small table."""

from collections.abc import Sequence
from typing import Final

from superserve_cli.profiles.profile import Profile

STEP: Final = 1.12
"""Each slack of the grid is at most 12 % above the one before, and so is each depth beyond the largest batch size."""
SLACKS: Final = 30
"""The grid ends at this many times the largest planned latency: with more slack than that, time has no price."""
DEEPEST: Final = 2**20

Cells = Sequence[Sequence[int]]


def slacks(profile: Profile) -> list[int]:
    """Every planned latency, so that what fits at the lower edge of a row fits in all of it, and geometric steps between and above."""
    plans = {plan for row in profile.plan for plan in row}
    return sorted(plans | set(_steps(min(plans), SLACKS * max(plans))))


def depths(profile: Profile) -> list[int]:
    """Every depth up to the largest batch size, then geometric steps."""
    return [*range(1, profile.largest), *_steps(profile.largest, DEEPEST)]


def _steps(first: int, last: int) -> list[int]:
    steps = [first]
    while steps[-1] < last:
        steps.append(max(steps[-1] + 1, int(steps[-1] * STEP)))
    return steps


def merged(starts: Sequence[int], lines: Cells) -> tuple[list[int], list[tuple[int, ...]]]:
    """Rows (or columns) without those that equal the one before; `starts` are their lower edges."""
    kept = [i for i in range(len(lines)) if i == 0 or lines[i] != lines[i - 1]]
    return [starts[i] for i in kept], [tuple(lines[i]) for i in kept]
