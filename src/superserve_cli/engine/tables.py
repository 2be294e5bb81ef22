"""Decision tables of all classes of a run, laid out as the engine's steps read them."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.engine.steps import DROP, NOBODY, Tables
from superserve_cli.policies import DROP as NO_CHOICE
from superserve_cli.policies import DecisionTable, Policy, compile
from superserve_cli.profiles import Profile


@dataclass(frozen=True)
class Classes:
    """The classes of a run, one per set of subnets that an accuracy floor leaves to the policy, each with its own table.

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

    def subnet(self, cell: int) -> Subnet:
        """The subnet of a cell."""
        return self.profile.subnets[cell // len(self.profile.batch_sizes)]


def classes(policy: Policy, profile: Profile, workers: int, floors: Iterable[float]) -> Classes:
    """The tables of a policy for requests without a floor, and for each of these floors."""
    whole = compile(policy, profile, workers)
    groups = {whole.profile.subnets: (0.0, whole)}
    for floor in sorted(floors):
        able = profile.only([s for s, a in zip(profile.subnets, profile.accuracies, strict=True) if a is not None and a >= floor])
        if not able.subnets or not (own := policy.restrict(able).subnets):
            break  # greater floors leave fewer subnets still
        same = groups.get(own)
        groups[own] = (floor, same[1] if same else compile(policy, able, workers))
    ordered = sorted(groups.values(), key=lambda group: group[0])
    return Classes(profile, tuple(floor for floor, _ in ordered), lay_out(profile, [table for _, table in ordered]))


def lay_out(profile: Profile, tables: list[DecisionTable]) -> Tables:
    """Tables laid end to end over the union of their depths, their choices renumbered as cells of `profile`."""
    depth = sorted({d for table in tables for d in table.depth})
    sizes = profile.batch_sizes
    cell: list[int] = []
    for table in tables:
        at = [profile.index(s) * len(sizes) + b for s in table.profile.subnets for b in range(len(sizes))]
        columns = [max(j for j, d in enumerate(table.depth) if d <= here) for here in depth]
        cell += [DROP if row[j] == NO_CHOICE else at[row[j]] for row in table.cells for j in columns]
    return Tables(
        start=[0, *np.cumsum([len(table.slack_ns) for table in tables]).tolist()],
        slack_ns=[slack for table in tables for slack in table.slack_ns],
        depth=depth,
        cell=cell,
        fallback=[profile.index(table.profile.subnets[0]) * len(sizes) for table in tables],
        plan_ns=[plan for row in profile.plan for plan in row],
        holds=list(sizes) * len(profile.subnets),
        smallest=[at - at % len(sizes) for at in range(len(sizes) * len(profile.subnets))],
        size_of=[bisect_left(sizes, rows) for rows in range(sizes[-1] + 1)],
    )


def as_arrays(tables: Tables) -> Tables:
    """The same tables over arrays, for compiled code."""
    columns: list[NDArray[Any]] = [np.asarray(column, dtype=np.int64) for column in tables]
    return Tables(*columns)
