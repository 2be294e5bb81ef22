from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from superserve_cli.errors import Unknown
from superserve_cli.supernet.conv import ConvNet
from superserve_cli.supernet.dynabert import DynaBert
from superserve_cli.supernet.insertion.module import described
from superserve_cli.supernet.layers import Plan
from superserve_cli.supernet.layerwise import Layerwise
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from superserve_cli.supernet.ofa_resnet import OfaResNet50
from superserve_cli.supernet.plan import Shape, slices
from superserve_cli.supernet.space import Point, Space
from superserve_cli.supernet.transformer import Transformer


class Architecture(Protocol):
    """One member of a family: it has a space, and a plan for each of its points. Everything else is a fold over plans."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input: (channels, height, width) of an image, (length,) or (2, length) of words (and their types)."""
        ...

    @property
    def dtype(self) -> str:
        """Of the inputs: `float32` for images, `int64` for words."""
        ...

    @property
    def classes(self) -> int:
        """How many outputs there are."""
        ...

    @property
    def space(self) -> Space:
        """The elastic dimensions."""
        ...

    def plan(self, point: Point) -> Plan:
        """What the subnet at a point computes."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The arguments that `family` makes it from, as plain data."""
        ...


Family = Callable[..., Architecture]
"""Makes an architecture from `shape`, `classes` and settings of its own, as keywords; raises BadOption for wrong ones."""

FAMILIES: Final[dict[str, Family]] = {
    "conv": ConvNet,
    "transformer": Transformer,
    "ofa-resnet50": OfaResNet50,
    "ofa-mbv3": OfaMbv3,
    "dynabert": DynaBert,
    "layerwise": Layerwise,
    "module": described,
}


def families() -> Mapping[str, Family]:
    """Every family by name: the built-in ones, and those that other packages register under `superserve.families`."""
    return {**FAMILIES, **{entry.name: entry.load() for entry in entry_points(group="superserve.families")}}


def family(name: str) -> Family:
    """The family of a name; raises Unknown."""
    if name not in (known := families()):
        raise Unknown("family", name, known)
    return known[name]


def parameters(architecture: Architecture) -> dict[str, Shape]:
    """Every shared parameter and its shape."""
    shapes: dict[str, Shape] = {}
    for plan in covering(architecture):
        for used in slices(plan):
            shape = tuple(max(indices) + 1 for indices in used.ranges)
            shapes[used.parameter] = tuple(map(max, shape, shapes.get(used.parameter, shape)))
    return shapes


def covering(architecture: Architecture) -> Iterator[Plan]:
    """Plans that use every parameter: the largest subnet's, and those with one dimension lower, such as small kernels or early exits."""
    space = architecture.space
    full = space.parse(space.largest).settings
    lowered = (space.subnet({**full, d.name: (value,) * d.count}) for d in space.dimensions for value in d.values[:-1])
    return (architecture.plan(space.parse(subnet)) for subnet in (space.largest, *lowered))
