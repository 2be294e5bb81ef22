"""What policies compile to: tables that are exact by construction, since a policy is asked with numbers that note each comparison.

A policy may compare slack and depth with numbers, and do nothing else with them. It is then piecewise constant: a comparison with c
turns out otherwise at ceil(c) or floor(c) + 1, and between those edges nothing changes. So one call per piece is enough.

A policy that computes with them declares a grid instead: it is asked once per cell of `grid.py`, at the cell's lower edges, and the
table says in how many of a few hundred random points the policy itself would have answered otherwise.
"""

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, exp, floor, isnan, log
from typing import Final, TypeVar

from superserve_cli.core.nouns import WAIT, Choice, Choose
from superserve_cli.errors import BadOption
from superserve_cli.policies import grid
from superserve_cli.policies.policy import Policy
from superserve_cli.profiles.profile import Profile

DROP: Final = -1
"""The index of no choice."""
LATER: Final = -2
"""The index of WAIT."""
LONG_AGO: Final = -(2**62)
FAR_AWAY: Final = 2**62
PROBES: Final = 200

T = TypeVar("T")


@dataclass(frozen=True)
class DecisionTable:
    """A policy compiled against a profile: breakpoints in slack and queue depth -> index of a choice, DROP or LATER.

    `profile` holds the subnets that the policy may run. Row i holds from `slack_ns[i]` to below `slack_ns[i + 1]`, column j from
    `depth[j]`; index c is subnet c // B in batch size c % B of `profile`, B = the number of batch sizes. `differs` is the share of
    random points at which a policy with a grid answers otherwise; 0 where the breakpoints are exact.
    """

    policy: str
    profile: Profile
    slack_ns: tuple[int, ...]
    depth: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]
    differs: float = 0.0

    def index(self, slack_ns: int, depth: int) -> int:
        """The index of the choice for a head with this slack in a queue of this depth (>= 1)."""
        return self.cells[bisect_right(self.slack_ns, slack_ns) - 1][bisect_right(self.depth, depth) - 1]

    def __call__(self, slack_ns: int, depth: int) -> Choice | None:
        """What the policy itself would have answered."""
        at = self.index(slack_ns, depth)
        return self.choice(at) if at >= 0 else WAIT if at == LATER else None

    def choice(self, index: int) -> Choice:
        """The choice behind an index that is neither DROP nor LATER."""
        sizes = self.profile.batch_sizes
        return Choice(self.profile.subnets[index // len(sizes)], sizes[index % len(sizes)])


class Probe:
    """A number that can only be compared, and notes the next greater value at which a comparison would turn out otherwise."""

    def __init__(self, value: int) -> None:
        self.value, self.flip = value, FAR_AWAY

    def __ge__(self, other: float) -> bool:
        if not isinstance(other, int | float) or isnan(other):
            raise TypeError(f"slack and depth are compared with {other!r}")
        edge = ceil(other) if abs(other) < FAR_AWAY else FAR_AWAY if other > 0 else LONG_AGO
        if self.value < edge:
            self.flip = min(self.flip, edge)
        return self.value >= edge

    def __lt__(self, other: float) -> bool:
        return not self >= other

    def __gt__(self, other: float) -> bool:
        return self >= (floor(other) + 1 if abs(other) < FAR_AWAY else other)

    def __le__(self, other: float) -> bool:
        return not self > other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int | float):
            return NotImplemented
        return self >= other and self <= other

    __hash__ = None  # type: ignore[assignment]  # a look-up by value would hide a comparison

    def __bool__(self) -> bool:
        return self != 0


def compile(policy: Policy, profile: Profile, workers: int) -> DecisionTable:
    """The table of a policy on the subnets that it may run: exact, but for a policy with a grid.

    Raises BadOption where no table can represent the policy, and Unknown where it is to run a subnet that is not served.
    """
    own = policy.own(profile)
    choose = policy.build(own, workers)
    if isinstance(choose, DecisionTable):  # a policy that is a table already
        return replace(choose, policy=policy.name)
    at = {WAIT: LATER} | {
        Choice(s, b): i * len(own.batch_sizes) + j for i, s in enumerate(own.subnets) for j, b in enumerate(own.batch_sizes)
    }

    def index(slack_ns: int, depth: int) -> int:
        return _index(policy, at, choose, slack_ns, depth)

    if policy.grid:
        return _on_grid(policy.name, own, index)
    rows = _pieces(lambda slack: _pieces(lambda depth: index(slack, depth), 1), LONG_AGO)
    columns = sorted({d for row in rows.values() for d in row})
    cells = tuple(tuple(row[max(d for d in row if d <= column)] for column in columns) for row in rows.values())
    table = DecisionTable(policy.name, own, tuple(rows), tuple(columns), cells)
    _check(table, index)
    return table


def _index(policy: Policy, at: dict[Choice, int], choose: Choose, slack_ns: int, depth: int) -> int:
    try:
        choice = choose(slack_ns, depth)
    except TypeError as error:
        raise BadOption(
            f"policy {policy.name} cannot become a table: {error}",
            hint="it may only compare slack_ns and depth with numbers; to compute with them, set NAME.grid = True beside the function",
        ) from error
    try:
        return DROP if choice is None else at[choice]
    except (KeyError, TypeError):  # no cell, or nothing that could be one
        raise BadOption(
            f"policy {policy.name} chose {choice!r}", hint="return Choice(subnet, batch_size) of the profile's cells, WAIT or None"
        ) from None


def _pieces(function: Callable[[int], T], start: int) -> dict[int, T]:
    """A piecewise constant function from `start` on: the first point of each piece -> its value there."""
    pieces: dict[int, T] = {}
    at, last = start, None
    while at < FAR_AWAY:
        probe = Probe(at)
        value = function(probe)  # type: ignore[arg-type]  # a probe is all of a number that a policy may use
        if not pieces or value != last:
            pieces[at] = last = value
        at = probe.flip
    return pieces


def _on_grid(name: str, profile: Profile, index: Callable[[int, int], int]) -> DecisionTable:
    """The table of a policy that is asked at the lower edges of each cell; below the shortest latency nothing fits."""
    slacks, depths = grid.slacks(profile), grid.depths(profile)
    rows = [[DROP] * len(depths), *([index(slack_ns, depth) for depth in depths] for slack_ns in slacks)]
    edges, kept = grid.merged([LONG_AGO, *slacks], rows)
    depths, columns = grid.merged(depths, list(zip(*kept, strict=True)))
    table = DecisionTable(name, profile, tuple(edges), tuple(depths), tuple(zip(*columns, strict=True)))
    _check_fits(table)
    return replace(table, differs=_differs(table, index))


def _check_fits(table: DecisionTable) -> None:
    plans = [plan for row in table.profile.plan for plan in row]
    for slack_ns, row in zip(table.slack_ns, table.cells, strict=True):
        if late := [at for at in row if at >= 0 and plans[at] > slack_ns]:
            raise BadOption(
                f"policy {table.policy} chose {table.choice(late[0])!r} at a slack of {slack_ns} ns, which is too short for it",
                hint="return a choice whose plan_ns is at most slack_ns, or None",
            )


def _differs(table: DecisionTable, index: Callable[[int, int], int]) -> float:
    """How often the policy answers otherwise, at random points spread evenly over the logarithms of slack and depth."""
    chance = random.Random(0)
    shortest, longest, deepest = min(map(min, table.profile.plan)), table.slack_ns[-1], table.depth[-1]
    slack, depth = (log(shortest), log(max(shortest, longest))), (0, log(deepest))
    points = [(int(exp(chance.uniform(*slack))), int(exp(chance.uniform(*depth)))) for _ in range(PROBES)]
    return sum(table.index(*point) != index(*point) for point in points) / PROBES


def _check(table: DecisionTable, index: Callable[[int, int], int]) -> None:
    """Ask the policy again, with plain numbers: a table that answers otherwise is of a policy that no table represents."""
    chance = random.Random(0)
    top = max(1, table.slack_ns[-1] + 1)
    edges = [edge + step for edge in table.slack_ns[1:] for step in (-1, 0)]
    for slack_ns in edges + [chance.randint(-top, 2 * top) for _ in range(PROBES)]:
        depth = chance.choice([1, 2, chance.randint(1, 64), chance.randint(1, 100_000)])
        if table.index(slack_ns, depth) != index(slack_ns, depth):
            raise BadOption(
                f"policy {table.policy} does more than compare: its table differs at a slack of {slack_ns} ns and depth {depth}",
                hint="a policy must be deterministic, and only compare slack_ns and depth with numbers",
            )
