"""Decision tables of all classes of a run, laid out as the engine's steps read them."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.engine.steps import DROP, NEVER, NOBODY, WAIT, Tables
from superserve_cli.policies import DecisionTable, Policy, compile
from superserve_cli.profiles import Profile


@dataclass(frozen=True)
class Classes:
    """The classes of a run, one per set of subnets that an accuracy floor leaves to the policy, each with a table in each mode.

    `floors` ascend; class i serves floors in (floors[i - 1], floors[i]]. Choices index the cells of `profile`: subnet number times
    the number of batch sizes, plus the number of the batch size.
    """

    profile: Profile
    floors: tuple[float, ...]
    tables: Tables

    def of(self, min_accuracy: float) -> int:
        """The class of a request with this floor, or NOBODY where no subnet that the policy may run reaches it."""
        at = bisect_left(self.floors, min_accuracy)
        return at if at < len(self.floors) else NOBODY

    @cached_property
    def arrays(self) -> Tables:
        """The tables over arrays, for compiled code."""
        columns: list[NDArray[Any]] = [np.asarray(column, dtype=np.int64) for column in self.tables]
        return Tables(*columns)

    def subnet(self, cell: int) -> Subnet:
        """The subnet of a cell."""
        return self.profile.subnets[cell // len(self.profile.batch_sizes)]


@lru_cache(maxsize=64)
def classes(modes: tuple[Policy, ...], profile: Profile, workers: int, floors: tuple[float, ...], routers: int = 1) -> Classes:
    """The tables of a policy's modes for requests without a floor, and for each of these floors; all routers have the same.

    `workers` is how many of them a router can count on. Remembered, since a study asks for the same tables again and again.
    """
    groups = {_able(modes, profile): (0.0, [compile(mode, profile, workers) for mode in modes])}
    for floor in sorted(floors):
        able = profile.only([s for s, a in zip(profile.subnets, profile.accuracies, strict=True) if a is not None and a >= floor])
        if not able.subnets or not all(own := _able(modes, able)):
            break  # greater floors leave fewer subnets still
        same = groups.get(own)
        groups[own] = (floor, same[1] if same else [compile(mode, able, workers) for mode in modes])
    ordered = sorted(groups.values(), key=lambda group: group[0])
    by_mode = [[tables[mode] for _, tables in ordered] for mode in range(len(modes))]
    return Classes(profile, tuple(floor for floor, _ in ordered), lay_out(profile, by_mode, routers))


def _able(modes: Sequence[Policy], profile: Profile) -> tuple[tuple[Subnet, ...], ...]:
    """By mode, the subnets that it may run."""
    return tuple(mode.restrict(profile).subnets for mode in modes)


def lay_out(profile: Profile, by_mode: Sequence[Sequence[DecisionTable]], routers: int) -> Tables:
    """Tables by mode and class laid end to end over the union of their depths, their choices renumbered as cells of `profile`."""
    tables = [table for mode in by_mode for table in mode]
    depth = sorted({d for table in tables for d in table.depth})
    sizes = profile.batch_sizes
    cell: list[int] = []
    for table in tables:
        at = [profile.index(s) * len(sizes) + b for s in table.profile.subnets for b in range(len(sizes))]
        columns = [bisect_right(table.depth, here) - 1 for here in depth]
        cell += [at[row[j]] if row[j] >= 0 else row[j] for row in table.cells for j in columns]
    end = np.cumsum([len(table.slack_ns) for table in tables]).tolist()
    fastest = [profile.index(table.profile.subnets[0]) * len(sizes) for table in tables]

    def of_all_routers(by_table: list[int]) -> list[int]:
        each = len(by_mode[0])
        return [at for mode in range(len(by_mode)) for at in by_table[mode * each : (mode + 1) * each] * routers]

    return Tables(
        first=of_all_routers([0, *end[:-1]]),
        last=of_all_routers(end),
        slack_ns=[slack for table in tables for slack in table.slack_ns],
        depth=depth,
        cell=cell,
        fallback=of_all_routers(fastest),
        plan_ns=[plan for row in profile.plan for plan in row],
        holds=list(sizes) * len(profile.subnets),
        smallest=[at - at % len(sizes) for at in range(len(sizes) * len(profile.subnets))],
        size_of=[bisect_left(sizes, rows) for rows in range(sizes[-1] + 1)],
    )


def least_slack_ns(tables: Tables, table: int, rows: int) -> int:
    """With less slack than this a head of so many rows is dropped, whatever waits behind it (late rules `drop` and `shed`)."""
    alone_ns = tables.plan_ns[tables.fallback[table] + tables.size_of[rows]]
    columns = range(bisect_right(tables.depth, rows) - 1, len(tables.depth))
    for row in range(tables.first[table], tables.last[table]):
        from_ns = tables.slack_ns[row]
        below_ns = tables.slack_ns[row + 1] if row + 1 < tables.last[table] else NEVER
        choices = {tables.cell[row * len(tables.depth) + column] for column in columns} - {DROP}
        if any(choice == WAIT or tables.holds[choice] >= rows for choice in choices):
            return from_ns
        if choices and alone_ns < below_ns:
            return max(from_ns, alone_ns)
    return NEVER
