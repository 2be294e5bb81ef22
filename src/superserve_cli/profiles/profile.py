from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption, Unknown

LEVELS: Final = (0.05, 0.25, 0.50, 0.75, 0.95, 0.99)
"""The quantiles of latency that a profile may hold."""


class Cell(NamedTuple):
    """One row of a profile, as planning sees it."""

    subnet: Subnet
    batch_size: int
    plan_ns: int
    accuracy: float | None


@dataclass(frozen=True, eq=False)  # equal only to itself, so that tables can be remembered by profile
class Profile:
    """Latency of (subnet, batch size) and accuracy of each subnet, on one kind of worker.

    `subnets` are ordered by plan_ns at the smallest batch size, then id, so the first is the fastest; `batch_sizes` ascend.
    `plan[s][b]` is the latency that planning uses, in ns; `quantiles_ns` (subnets, batch sizes, LEVELS) or None where only
    plan_ns is known; `accuracies` are 0..1, None where unknown.
    """

    subnets: tuple[Subnet, ...]
    batch_sizes: tuple[int, ...]
    plan: tuple[tuple[int, ...], ...]
    accuracies: tuple[float | None, ...]
    quantiles_ns: NDArray[np.int64] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _index(self) -> dict[Subnet, int]:
        return {subnet: i for i, subnet in enumerate(self.subnets)}

    def index(self, subnet: Subnet) -> int:
        """Where a subnet stands; raises Unknown."""
        if subnet not in self._index:
            raise Unknown("subnet", subnet, self.subnets)
        return self._index[subnet]

    def plan_ns(self, subnet: Subnet, rows: int) -> int:
        """The planned latency of `rows` rows: that of the smallest profiled batch size which holds them."""
        return self.plan[self.index(subnet)][bisect_left(self.batch_sizes, rows)]

    def accuracy(self, subnet: Subnet) -> float | None:
        """The accuracy of a subnet, 0..1, or None where the profile does not know it."""
        return self.accuracies[self.index(subnet)]

    def cells(self) -> Iterator[Cell]:
        """Every (subnet, batch size) with its planned latency and accuracy."""
        for subnet, plans, accuracy in zip(self.subnets, self.plan, self.accuracies, strict=True):
            for size, plan_ns in zip(self.batch_sizes, plans, strict=True):
                yield Cell(subnet, size, plan_ns, accuracy)

    @property
    def about(self) -> str:
        """In a line: how much it holds, of which SuperNet, measured where."""
        measured = ", ".join(f"{self.metadata[key]}" for key in ("supernet", "device", "dtype", "backend") if self.metadata.get(key))
        return f"{len(self.subnets)} subnets x {len(self.batch_sizes)} batch sizes: {measured or 'origin unknown'}"

    @property
    def smallest(self) -> int:
        """The smallest profiled batch size."""
        return self.batch_sizes[0]

    @property
    def largest(self) -> int:
        """The largest profiled batch size."""
        return self.batch_sizes[-1]

    def only(self, keep: Collection[Subnet]) -> "Profile":
        """The same profile with some of its subnets."""
        at = [i for i, subnet in enumerate(self.subnets) if subnet in keep]
        return replace(
            self,
            subnets=tuple(self.subnets[i] for i in at),
            plan=tuple(self.plan[i] for i in at),
            accuracies=tuple(self.accuracies[i] for i in at),
            quantiles_ns=None if self.quantiles_ns is None else self.quantiles_ns[at],
        )

    def served(self, which: str | None = None) -> "Profile":
        """The subnets to serve: those that none dominates; `all`; or the ids of a comma-separated list."""
        if which is None:
            return self.only([s for s in self.subnets if not self.dominated(s)])
        if which == "all":
            return self
        if not (ids := [part.strip() for part in which.split(",") if part.strip()]):
            raise BadOption("no subnet is named", hint="name some of the profile's subnets, separated by commas, or `all`")
        return self.only([self.subnets[self.index(s)] for s in ids])

    def dominated(self, subnet: Subnet) -> bool:
        """Whether another subnet is at least as accurate and as fast at every batch size, and better in one of them."""
        i = self.index(subnet)
        if self.accuracies[i] is None:
            return False
        accuracies = np.array([np.nan if a is None else a for a in self.accuracies])
        plans = np.array(self.plan)
        as_good = (accuracies >= accuracies[i]) & (plans <= plans[i]).all(axis=1)
        better = (accuracies > accuracies[i]) | (plans < plans[i]).any(axis=1)
        return bool((as_good & better).any())

    def sustained_qps(self, workers: int) -> float:
        """What the median subnet (the faster of two) sustains at the largest batch size on all workers, in rows per second."""
        plans = sorted(row[-1] for row in self.plan)
        return workers * self.largest * 1e9 / plans[(len(plans) - 1) // 2]

    def default_service(self) -> str:
        """How service times are drawn where nobody says: measured if there are quantiles to draw from, else fixed."""
        return "fixed" if self.quantiles_ns is None else "measured"

    def default_slo_ns(self) -> int:
        """1.2 times the largest planned latency, at least 20 ms."""
        return max(20_000_000, round(1.2 * max(map(max, self.plan))))
