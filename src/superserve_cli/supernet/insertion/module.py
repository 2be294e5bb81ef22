"""The family `module`: whatever `subnetact` made of a user's module, described in full, so that it runs without the user's code."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from superserve_cli.errors import BadOption
from superserve_cli.supernet.insertion.described import plan_from_json, plan_to_json
from superserve_cli.supernet.insertion.elastic import Control, Elastic, Stage
from superserve_cli.supernet.insertion.narrow import Axes
from superserve_cli.supernet.layers import LayerSelect, Plan
from superserve_cli.supernet.plan import Shape, output_shape
from superserve_cli.supernet.space import Point, Space


@dataclass(frozen=True)
class ModuleNet:
    """A module that was made elastic: its whole plan, whose LayerSelects are the stages that `elastic` names, in this order.

    Raises BadOption where layers do not fit together.
    """

    shape: Shape
    classes: int
    dtype: str
    layers: Plan = field(repr=False)
    elastic: Elastic

    def __post_init__(self) -> None:
        Axes(self.layers, self.shape)
        if (found := output_shape(self.layers, self.shape)) != (self.classes,):
            raise BadOption(
                f"the network yields {list(found)} for each input", hint=f"it should be one number for each of {self.classes} classes"
            )
        if len(self._places) != len(self.elastic.stages or ()):
            raise BadOption(f"there are {len(self._places)} stages", hint=f"elastic names {', '.join(self.elastic.stages or ()) or 'none'}")
        _ = self._control

    @property
    def space(self) -> Space:
        """Depth of each stage and width of each block, stage, or of all."""
        return self._space

    def plan(self, point: Point) -> Plan:
        """What a subnet computes."""
        plan = list(self.layers)
        for stage, place in enumerate(self._places):
            kept = self._control.stages[stage].kept(self._control.depth(point, stage))
            width = dict(zip(kept, self._control.widths(point, stage), strict=False))
            least = self.elastic.widths[0]
            blocks = tuple(by_width[width.get(i, least)] for i, by_width in enumerate(self._narrowed[stage]))
            plan[place] = LayerSelect(blocks, kept)
        return tuple(plan)

    def to_json(self) -> dict[str, Any]:
        """The arguments of `described`, as plain data."""
        return {
            "shape": self.shape,
            "classes": self.classes,
            "dtype": self.dtype,
            "elastic": self.elastic.to_json(),
            "layers": plan_to_json(self.layers),
        }

    @cached_property
    def _places(self) -> tuple[int, ...]:
        """Where the stages are among the layers."""
        return tuple(i for i, layer in enumerate(self.layers) if isinstance(layer, LayerSelect))

    @cached_property
    def _control(self) -> Control:
        stages = []
        for name, place in zip(self.elastic.stages or (), self._places, strict=True):
            select = self.layers[place]
            assert isinstance(select, LayerSelect)
            stages.append(Stage(name, select.blocks, output_shape(self.layers[:place], self.shape), self.elastic))
        return Control(tuple(stages), self.elastic)

    @cached_property
    def _space(self) -> Space:
        return self._control.space

    @cached_property
    def _narrowed(self) -> tuple[tuple[dict[float, Plan], ...], ...]:
        """Each block of each stage by its width."""
        return tuple(stage.narrowed() for stage in self._control.stages)


def described(
    shape: Iterable[int] = (), classes: int = 0, dtype: str = "float32", elastic: Mapping[str, Any] | None = None, layers: Any = ()
) -> ModuleNet:
    """Any PyTorch module that `superserve_cli.supernet.subnetact` made elastic: bottleneck CNNs, transformer encoders, your own.

    From plain data, as `supernet.json` holds it. Raises BadFile or BadOption.
    """
    if not layers or elastic is None:
        raise BadOption(
            "the family module has no architecture of its own",
            hint="make a SuperNet from a module of yours: superserve_cli.supernet.subnetact(model, Elastic(...), example)",
        )
    return ModuleNet(tuple(shape), classes, dtype, plan_from_json(layers), Elastic(**elastic))
