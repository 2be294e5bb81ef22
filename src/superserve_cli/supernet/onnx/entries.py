"""The control tuple of a whole SuperNet in ONNX: which numbers the subnets differ by, and what each subnet sets them to."""

from collections.abc import Mapping, Sequence

import numpy as np

from superserve_cli.supernet.onnx.columns import Rows
from superserve_cli.supernet.onnx.graph import Graph


class Entries:
    """The entries of the inputs `depth` and `width`, found while the plans are walked. Each is read by one node, whoever needs it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.stages: list[Rows[int]] = []
        self.groups: list[dict[int, int]] = []
        self._computed: dict[tuple[str, ...], str] = {}

    def group(self, values: Rows[int]) -> int:
        """The place in `width` of a number that differs between subnets; equal ones share it. Rows that are absent do not care."""
        for i, group in enumerate(self.groups):
            if all(group.get(row, value) == value for row, value in values.items()):
                group.update(values)
                return i
        self.groups.append(dict(values))
        return len(self.groups) - 1

    def scalar(self, values: Rows[int]) -> str:
        """A number that differs between subnets, as a scalar."""
        return self._gather("width", (self.group(values),), scalar=True)

    def vector(self, numbers: Sequence[Rows[int]]) -> str:
        """Several numbers, some of which differ between subnets, as int64 [how many]."""
        fixed = [len(set(values.values())) == 1 for values in numbers]
        if all(fixed):
            return self.graph.constant([next(iter(values.values())) for values in numbers])
        if not any(fixed):
            return self._gather("width", tuple(map(self.group, numbers)))
        parts = [self.vector([values]) for values in numbers]
        with self.graph.prelude():
            return self.graph.op("Concat", *parts, axis=0)

    def conditions(self, kept: Rows[tuple[int, ...]], blocks: int) -> Mapping[int, str]:
        """For each block of a stage that only some subnets run, the value that says whether it runs; adds an entry to `depth`.

        The entry is the number of blocks that run, or where that does not say which, the index of the choice.
        """
        choices = sorted(set(kept.values()), key=lambda choice: (len(choice), choice))
        counted = len({len(choice) for choice in choices}) == len(choices)
        number = {choice: len(choice) if counted else i for i, choice in enumerate(choices)}
        self.stages.append({row: number[choice] for row, choice in kept.items()})
        elastic = [b for b in range(blocks) if 0 < sum(b in choice for choice in choices) < len(choices)]
        if not elastic:
            return {}
        depth = self._gather("depth", (len(self.stages) - 1,), scalar=True)
        if counted and all(choice == tuple(range(len(choice))) for choice in choices):
            return {b: self._once("Greater", depth, self.graph.constant(b)) for b in elastic}
        table = np.zeros((max(number.values()) + 1, blocks), np.bool_)
        for choice, i in number.items():
            table[i, list(choice)] = True
        row = self._once("Gather", self.graph.array(self.graph.name("KEPT"), table), depth)
        return {b: self._once("Gather", row, self.graph.constant(b)) for b in elastic}

    def _gather(self, which: str, places: tuple[int, ...], scalar: bool = False) -> str:
        return self._once("Gather", which, self.graph.constant(places[0] if scalar else list(places)))

    def _once(self, kind: str, *inputs: str) -> str:
        if (kind, *inputs) not in self._computed:
            with self.graph.prelude():
                self._computed[kind, *inputs] = self.graph.op(kind, *inputs)
        return self._computed[kind, *inputs]

    def below(self, values: Rows[int], bound: int) -> str:
        """Whether a number that differs between subnets is less than a bound."""
        return self._once("Less", self.scalar(values), self.graph.constant(bound))

    def depth_of(self, row: int) -> tuple[int, ...]:
        """What a subnet sets `depth` to."""
        return tuple(stage[row] if row in stage else max(stage.values()) for stage in self.stages)

    def width_of(self, row: int) -> tuple[int, ...]:
        """What a subnet sets `width` to."""
        return tuple(group[row] if row in group else max(group.values()) for group in self.groups)
