"""Where the requests of a class wait: a queue that the class has while somebody waits in it, and that another may have then.

So no more queues are looked through at a decision than there are classes with waiting requests, however many subnets and floors there
are. Besides the classes of accuracy floors there is one for each subnet that requests are pinned to, whose table is made when the first
one comes. With one subnet there is nothing to choose but the batch, so all policies are the same one there: the largest that fits.
"""

from collections.abc import Collection

from superserve_cli.core.nouns import Subnet
from superserve_cli.engine.scaled import AS_PLANNED, multiplied
from superserve_cli.engine.steps import Heaps, Ints, Tables
from superserve_cli.policies import Policy, compile
from superserve_cli.policies.greedy import largest_fitting
from superserve_cli.profiles import Profile

Class = int | Subnet
"""A class by the number of its floor, or by the subnet it is pinned to."""


class Places:
    """The queues of a live engine and their depths; `tables` has the tables by place, for the classes that are there now."""

    def __init__(self, profile: Profile, workers: int, tables: Tables) -> None:
        self._profile, self._workers = profile, workers
        self._known: dict[Class, tuple[int, int, int]] = {
            at: (tables.first[at], tables.last[at], tables.fallback[at]) for at in range(len(tables.first))
        }
        self._first: list[int] = []
        self._last: list[int] = []
        self._fallback: list[int] = []
        self._slack_ns, self._cell = _copy(tables.slack_ns), _copy(tables.cell)
        self._columns = len(tables.depth)
        self._at: dict[Class, int] = {}
        self.queues: Heaps = []
        self.depth: list[int] = []
        self.tables = tables._replace(first=self._first, last=self._last, fallback=self._fallback, slack_ns=self._slack_ns, cell=self._cell)
        self._scaled: dict[int, Tables] = {AS_PLANNED: self.tables}
        self._slacks: dict[int, list[int]] = {AS_PLANNED: self._slack_ns}

    def of(self, key: Class) -> int:
        """The place of a class, where its next request may wait; raises Unknown for a subnet that is not served."""
        if (place := self._at.get(key)) is None:
            table = self._table(key)
            place = self._at[key] = self._vacant()
            self._first[place], self._last[place], self._fallback[place] = table
        return place

    def scaled(self, scales: Collection[int]) -> dict[int, Tables]:
        """The tables for workers of each of these scales; those of other scales are forgotten."""
        wanted = {AS_PLANNED, *scales}
        self._slacks = {scale: self._slacks.get(scale) or multiplied(self._slack_ns, scale) for scale in wanted}
        self._scaled = {
            scale: self._scaled.get(scale)
            or self.tables._replace(slack_ns=self._slacks[scale], plan_ns=multiplied(self.tables.plan_ns, scale))
            for scale in wanted
        }
        return self._scaled

    def _vacant(self) -> int:
        """A place that nobody waits at, a new one if there is none."""
        for key, place in self._at.items():
            if not self.queues[place]:
                del self._at[key]
                return place
        for column in (self._first, self._last, self._fallback, self.depth):
            column.append(0)
        self.queues.append([])
        return len(self.queues) - 1

    def _table(self, key: Class) -> tuple[int, int, int]:
        """The table of a class: its first row, the row behind its last, and its fallback."""
        if (table := self._known.get(key)) is None:
            table = self._known[key] = self._lay_out(str(key))
        return table

    def _lay_out(self, subnet: Subnet) -> tuple[int, int, int]:
        """Put a subnet's own table behind the others."""
        at = self._profile.index(subnet) * len(self._profile.batch_sizes)
        table = compile(Policy(f"fixed:{subnet}", largest_fitting), self._profile.only({subnet}), self._workers)
        first = len(self._slack_ns)
        for scale, slack_ns in self._slacks.items():
            slack_ns.extend(multiplied(table.slack_ns, scale))
        for (cell,) in table.cells:  # whatever the depth
            self._cell.extend([at + cell if cell >= 0 else cell] * self._columns)
        return first, len(self._slack_ns), at


def _copy(column: Ints) -> list[int]:
    """Tables are remembered and shared, so nobody may lengthen them."""
    return [column[i] for i in range(len(column))]
