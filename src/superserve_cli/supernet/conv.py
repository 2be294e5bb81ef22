"""The family `conv`: a bottleneck ResNet for small images, elastic as in Once-for-All.

A stem, three stages of bottleneck blocks (1x1, 3x3, 1x1), a linear classifier. Elastic are the depth of each stage (its first
blocks run), the width of everything (the first channels run) and the expand ratio, the bottleneck's share of its block's width.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Final

from superserve_cli.errors import BadOption
from superserve_cli.supernet.layers import RELU, AvgPool, Conv, GlobalMean, Join, Layer, LayerSelect, Linear, Norm, Plan, WeightSlice, first
from superserve_cli.supernet.space import Dimension, Point, Space

STEM_STRIDE: Final = 2
STRIDES: Final = (1, 2, 1)
REDUCTION: Final = STEM_STRIDE * prod(STRIDES)
"""The side of an image is a multiple of it."""
DIVISOR: Final = 8


def channels(count: float) -> int:
    """A number of channels, rounded to the nearest multiple of 8 that is not 0 (`make_divisible` of Once-for-All)."""
    rounded = max(DIVISOR, int(count + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * count else rounded


@dataclass(frozen=True)
class ConvNet:
    """A bottleneck ResNet for small images, elastic in depth per stage, width and expand ratio (as in Once-for-All).

    `widths` are the channels of each stage at full width, of the first also in the stem; the space chooses from the other tuples.
    Raises BadOption for settings that make no network.
    """

    shape: tuple[int, int, int]
    classes: int
    widths: tuple[int, ...] = (48, 96, 128)
    depth: tuple[int, ...] = (1, 3)
    width: tuple[float, ...] = (0.6, 1.0)
    expand: tuple[float, ...] = (0.35, 0.5)

    def __post_init__(self) -> None:
        counts = (*self.shape, self.classes, *self.widths, *self.depth)
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise BadOption(f"{self} has a count that is none", hint="shape, classes, widths and depth are positive integers")
        elastic = {"depth": self.depth, "width": self.width, "expand": self.expand}
        for name, values in elastic.items():
            if not values or list(values) != sorted(set(values)) or values[0] <= 0:
                raise BadOption(f"{name} is {list(values)}", hint="name positive values in ascending order")
        if len(self.widths) != len(STRIDES):
            raise BadOption(f"widths is {list(self.widths)}", hint=f"name the channels of {len(STRIDES)} stages")
        if len(self.shape) != 3:
            raise BadOption(f"inputs of shape {self.shape} do not fit the family conv", hint="it takes images: channels, height, width")
        if self.shape[1] % REDUCTION:
            raise BadOption(
                f"images of {self.shape[1]}x{self.shape[2]} do not fit the family conv", hint=f"their side is a multiple of {REDUCTION}"
            )

    @property
    def dtype(self) -> str:
        """Images are float32."""
        return "float32"

    @property
    def space(self) -> Space:
        """Depth of each stage, width, expand ratio: `d131-w0.6-e0.5`."""
        return Space(
            (
                Dimension("d", "depth", self.depth, len(self.widths)),
                Dimension("w", "width", self.width),
                Dimension("e", "expand", self.expand),
            )
        )

    def plan(self, point: Point) -> Plan:
        """What a subnet computes."""
        (width,), (expand,) = point["width"], point["expand"]
        outs = [channels(full * width) for full in self.widths]
        plan: list[Layer] = [*_conv("stem", self.shape[0], outs[0], 3, STEM_STRIDE), RELU]
        for stage, (stride, before, out) in enumerate(zip(STRIDES, [outs[0], *outs], outs, strict=False)):
            blocks = tuple(
                _block(f"stage{stage}.block{i}", out if i else before, channels(out * expand), out, 1 if i else stride)
                for i in range(self.depth[-1])
            )
            plan.append(LayerSelect(blocks, first(int(point["depth"][stage]))))
        head = Linear(WeightSlice.prefix("head.weight", self.classes, outs[-1]), WeightSlice.prefix("head.bias", self.classes))
        return (*plan, GlobalMean(), head)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def _conv(name: str, before: int, out: int, kernel: int, stride: int = 1) -> Sequence[Layer]:
    weight = WeightSlice.prefix(f"{name}.conv.weight", out, before, kernel, kernel)
    return Conv(weight, stride), Norm(WeightSlice.prefix(f"{name}.norm.weight", out), WeightSlice.prefix(f"{name}.norm.bias", out))


def _block(name: str, before: int, inner: int, out: int, stride: int) -> Plan:
    body = (
        *_conv(f"{name}.reduce", before, inner, 1),
        RELU,
        *_conv(f"{name}.spatial", inner, inner, 3, stride),
        RELU,
        *_conv(f"{name}.restore", inner, out, 1),
    )
    if before == out and stride == 1:
        return Join("add", (body, ())), RELU
    pool = (AvgPool(stride),) if stride > 1 else ()
    return Join("add", (body, (*pool, *_conv(f"{name}.shortcut", before, out, 1)))), RELU
