"""What of a module is to be elastic, and the space that follows: the control tuple (D, W) of SuperServe, section 3.1."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, groupby
from math import ceil
from typing import Any, Final, Literal

from superserve_cli.errors import BadOption
from superserve_cli.supernet.insertion.narrow import Axes, changes_shape, narrow
from superserve_cli.supernet.layers import Plan, every_other, first
from superserve_cli.supernet.plan import Shape, output_shape
from superserve_cli.supernet.space import Dimension, Gate, Point, Space

CODES: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Elastic:
    """What of a module is elastic; the whole module always belongs to the space.

    `stages` are module paths of Sequentials or ModuleLists whose children are the blocks (`layer1`, or `features[1:4]` for some of the
    children); None finds those of residual blocks or transformer layers. `depth`: how many blocks of a stage may run, as counts (1, 2)
    or fractions (0.5, 0.75). `width`: fractions of each block's inner channels, heads and neurons; one for every running block, for every
    stage, or for the whole net, as `per` says. `rule`: which blocks run, the first ones (for images, unless said otherwise) or evenly
    spread ones (for sequences). Raises BadOption for values that make no sense.
    """

    stages: tuple[str, ...] | None = None
    depth: tuple[float, ...] | None = None
    width: tuple[float, ...] | None = (0.5, 1.0)
    per: Literal["block", "stage", "net"] = "block"
    rule: Literal["first", "every-other"] | None = None

    def __post_init__(self) -> None:
        for name in ("stages", "depth", "width"):
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))
        _ascending("width", self.width, _fraction, "fractions between 0 and 1")
        _ascending("depth", self.depth, lambda d: _fraction(d) or _count(d), "counts from 1, or fractions between 0 and 1")
        if len({type(d) for d in self.depth or ()}) > 1:
            raise BadOption(f"depth is {list(self.depth or ())}", hint="name either counts or fractions: 1 is one block, 1.0 all of them")
        if self.per not in {"block", "stage", "net"} or self.rule not in {None, "first", "every-other"}:
            raise BadOption(f"per is {self.per!r} and rule {self.rule!r}", hint="per is block, stage or net; rule is first or every-other")
        if len(self.widths) > len(CODES):
            raise BadOption(f"there are {len(self.widths)} widths", hint=f"name at most {len(CODES) - 1}")
        if not isinstance(self.stages, tuple | None) or not all(isinstance(stage, str) for stage in self.stages or ()):
            raise BadOption(f"stages is {self.stages!r}", hint="name module paths, such as ('layer1', 'layer2')")

    @property
    def widths(self) -> tuple[float, ...]:
        """The fractions that a block may have, the last one 1."""
        return tuple(sorted({*(self.width or ()), 1.0}))

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def _fraction(value: Any) -> bool:
    return isinstance(value, float) and 0 < value <= 1


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _ascending(name: str, values: Any, allowed: Callable[[Any], bool], hint: str) -> None:
    if values is None:
        return
    if not isinstance(values, tuple) or not values or not all(map(allowed, values)) or list(values) != sorted(set(values)):
        raise BadOption(f"{name} is {list(values) if isinstance(values, tuple) else values!r}", hint=f"name {hint}, in ascending order")


@dataclass(frozen=True)
class Stage:
    """One stage of a module: its blocks at full width, and what may become of them. `shape` is that of the first block's input."""

    name: str
    blocks: tuple[Plan, ...]
    shape: Shape
    elastic: Elastic

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of each block's input."""
        return tuple(accumulate(self.blocks[:-1], lambda shape, block: output_shape(block, shape), initial=self.shape))

    @cached_property
    def needed(self) -> tuple[int, ...]:
        """The blocks that change the shape: they always run."""
        return tuple(i for i, (block, shape) in enumerate(zip(self.blocks, self.shapes, strict=True)) if changes_shape(block, shape))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """How many blocks may run, ascending, the last one all."""
        least, most = max(1, len(self.needed)), len(self.blocks)
        counts = (d if isinstance(d, int) else max(least, ceil(round(d * most, 6))) for d in self.elastic.depth or ())
        return tuple(sorted({d for d in counts if least <= d <= most} | {most}))

    def kept(self, depth: int) -> tuple[int, ...]:
        """Which blocks run at a depth: those that are needed, and of the others the first ones or evenly spread ones."""
        needed = self.needed
        others = [i for i in range(len(self.blocks)) if i not in needed]
        count = depth - len(needed)
        spread = self.elastic.rule == "every-other" or (self.elastic.rule is None and len(self.shape) < 3)
        chosen = every_other(len(others), count) if spread else first(count)
        return tuple(sorted((*needed, *(others[i] for i in chosen))))

    @cached_property
    def slices(self) -> bool:
        """Whether any block has inner channels, so that a width means something."""
        return any(Axes(block, shape).inner for block, shape in zip(self.blocks, self.shapes, strict=True))

    def narrowed(self) -> tuple[dict[float, Plan], ...]:
        """Each block by its width."""
        return tuple(
            {w: narrow(block, shape, w) for w in self.elastic.widths} for block, shape in zip(self.blocks, self.shapes, strict=True)
        )


@dataclass(frozen=True)
class Control:
    """The control tuple (D, W) of some stages: its space, and the depth and widths that a point of it means for each stage."""

    stages: tuple[Stage, ...]
    elastic: Elastic

    def __post_init__(self) -> None:
        deepest = max((len(stage.blocks) for stage in self.stages), default=0)
        if strange := [d for d in self.elastic.depth or () if isinstance(d, int) and not any(d in stage.depths for stage in self.stages)]:
            raise BadOption(
                f"no stage can run {strange[0]} blocks", hint=f"the deepest has {deepest}; blocks that change the shape always run"
            )
        if not self.space.dimensions:
            raise BadOption(
                "nothing is elastic", hint="name depths or widths below the full ones, and stages whose blocks have inner channels"
            )

    @cached_property
    def space(self) -> Space:
        """Depths of the stages, `d` once for all stages that have the same choice; widths, `w`: `d2-d34-w0110`."""
        return Space((*self._depths, *self._widths))

    def depth(self, point: Point, stage: int) -> int:
        """How many blocks of a stage run."""
        gate = self._places.get(stage)
        return int(point[gate[0]][gate[1]]) if gate else len(self.stages[stage].blocks)

    def widths(self, point: Point, stage: int) -> tuple[float, ...]:
        """The fraction of each running block of a stage, the first one first."""
        blocks = len(self.stages[stage].blocks)
        if not self._sliced or stage not in self._sliced:
            return (1.0,) * blocks
        if self.elastic.per == "block":
            start = sum(len(self.stages[s].blocks) for s in self._sliced if s < stage)
            return point["width"][start : start + blocks]
        return (point["width"][self._sliced.index(stage) if self.elastic.per == "stage" else 0],) * blocks

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Stages in a row whose depth has the same choice, and one at all."""
        elastic = [i for i, stage in enumerate(self.stages) if len(stage.depths) > 1]
        return [list(group) for _, group in groupby(elastic, lambda i: self.stages[i].depths)]

    def _name(self, group: list[int]) -> str:
        return "depth" if len(self._groups) == 1 else f"depth of {', '.join(self.stages[i].name for i in group)}"

    @cached_property
    def _depths(self) -> list[Dimension]:
        return [Dimension("d", self._name(group), self.stages[group[0]].depths, len(group)) for group in self._groups]

    @cached_property
    def _places(self) -> dict[int, tuple[str, int]]:
        """The dimension and the place in it of each stage's depth."""
        return {stage: (self._name(group), place) for group in self._groups for place, stage in enumerate(group)}

    @cached_property
    def _sliced(self) -> tuple[int, ...]:
        if len(self.elastic.widths) == 1:
            return ()
        return tuple(i for i, stage in enumerate(self.stages) if stage.slices)

    @cached_property
    def _widths(self) -> list[Dimension]:
        if not self._sliced:
            return []
        gates: tuple[Gate | None, ...] = ()
        if self.elastic.per == "block":
            gates = tuple(self._gate(stage, running) for stage in self._sliced for running in range(1, 1 + len(self.stages[stage].blocks)))
        count = len(gates) or (len(self._sliced) if self.elastic.per == "stage" else 1)
        return [Dimension("w", "width", self.elastic.widths, count, CODES[: len(self.elastic.widths)] if count > 1 else "", gates)]

    def _gate(self, stage: int, running: int) -> Gate | None:
        """When there is a block that runs as the `running`-th of its stage."""
        return None if running <= self.stages[stage].depths[0] else Gate(*self._places[stage], running)
