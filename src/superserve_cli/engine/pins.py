"""Classes of requests that name their subnet: made when the first one comes, so that hundreds of subnets cost nothing until asked for.

With one subnet there is nothing to choose but the batch, so all policies are the same one here: the largest batch that fits the slack.
A class is a place in the engine's queues, which a pin keeps while requests of it wait; then another may have it, so that no more queues
are looked through than subnets are waited for at once.
"""

from superserve_cli.core.nouns import Subnet
from superserve_cli.engine.steps import Heaps, Ints, Tables
from superserve_cli.policies import Policy, compile
from superserve_cli.policies.greedy import largest_fitting
from superserve_cli.profiles import Profile


class Pins:
    """The classes of pinned requests behind those of an engine's floors, whose queues and depths it lengthens; `tables` has all."""

    def __init__(self, profile: Profile, workers: int, tables: Tables, queues: Heaps, depth: list[int]) -> None:
        self._profile, self._workers = profile, workers
        self._queues, self._depth = queues, depth
        self._first, self._last, self._fallback = _copies(tables.first, tables.last, tables.fallback)
        self._slack_ns, self._cell = _copies(tables.slack_ns, tables.cell)
        self._columns = len(tables.depth)
        self._floors = len(queues)
        self._laid_out: dict[Subnet, tuple[int, int, int]] = {}
        self._kinds: dict[Subnet, int] = {}
        self.tables = tables._replace(first=self._first, last=self._last, fallback=self._fallback, slack_ns=self._slack_ns, cell=self._cell)

    def kind(self, subnet: Subnet) -> int:
        """The class of a pin; raises Unknown for a subnet that is not served."""
        if (kind := self._kinds.get(subnet)) is None:
            if (table := self._laid_out.get(subnet)) is None:
                table = self._laid_out[subnet] = self._lay_out(subnet)
            kind = self._kinds[subnet] = self._place()
            self._first[kind], self._last[kind], self._fallback[kind] = table
        return kind

    def _place(self) -> int:
        """A place in the queues that nobody waits in, a new one if there is none."""
        for subnet, kind in self._kinds.items():
            if not self._queues[kind]:
                del self._kinds[subnet]
                return kind
        for column in (self._first, self._last, self._fallback, self._depth):
            column.append(0)
        self._queues.append([])
        return len(self._queues) - 1

    def _lay_out(self, subnet: Subnet) -> tuple[int, int, int]:
        """Put a subnet's own table behind the others: its first row, the row behind its last, and its fallback."""
        at = self._profile.index(subnet) * len(self._profile.batch_sizes)
        table = compile(Policy(f"fixed:{subnet}", largest_fitting), self._profile.only({subnet}), self._workers)
        first = len(self._slack_ns)
        self._slack_ns.extend(table.slack_ns)
        for (cell,) in table.cells:  # whatever the depth
            self._cell.extend([at + cell if cell >= 0 else cell] * self._columns)
        return first, len(self._slack_ns), at


def _copies(*columns: Ints) -> list[list[int]]:
    """Tables are remembered and shared, so nobody may lengthen them."""
    return [[column[i] for i in range(len(column))] for column in columns]
