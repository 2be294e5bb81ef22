"""The family `ofa-mbv3`: the MobileNetV3 SuperNet of Once-for-All (Cai et al., 2020; class OFAMobileNetV3), by its checkpoint's names.

Elastic are the depth of each stage, the kernel size and the expand ratio of each block, and the size of the input; smaller kernels
are made from the centre of the largest ones by learnt matrices. The checkpoint holds statistics of the largest subnet alone; every
other one has to be calibrated before it runs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption
from superserve_cli.supernet import ofa
from superserve_cli.supernet.conv import channels
from superserve_cli.supernet.layers import (
    RELU,
    Activation,
    Conv,
    Flatten,
    GlobalMean,
    Join,
    Layer,
    LayerSelect,
    Linear,
    Plan,
    TransformedKernel,
    Weight,
    WeightSlice,
    first,
)
from superserve_cli.supernet.space import Dimension, Gate, Point, Space

HARD_SWISH: Final = Activation("hard_swish")
STRIDES: Final = (2, 2, 2, 1, 2)
ACTIVATIONS: Final = (RELU, RELU, HARD_SWISH, HARD_SWISH, HARD_SWISH)
SQUEEZED: Final = (False, True, False, True, True)
"""Which of the elastic stages squeeze and excite."""
REDUCTION: Final = 4


@dataclass(frozen=True)
class OfaMbv3:
    """The MobileNetV3 SuperNet of Once-for-All, elastic in depth, kernel size, expand ratio and input resolution.

    `widths` are the channels of the first convolution, the first block, five stages, and two layers before the classifier, all times
    `width_mult` (1.0 and 1.2 have been released). `resolutions` None is 128 to 224 in steps of 32 for images of 224 x 224, else one
    size. Raises BadOption for settings that make no network.
    """

    shape: tuple[int, int, int] = (3, 224, 224)
    classes: int = 1000
    width_mult: float = 1.0
    depth: tuple[int, ...] = (2, 3, 4)
    expand: tuple[int, ...] = (3, 4, 6)
    kernel: tuple[int, ...] = (3, 5, 7)
    resolutions: tuple[int, ...] | None = None
    widths: tuple[int, ...] = (16, 16, 24, 40, 80, 112, 160, 960, 1280)

    def __post_init__(self) -> None:
        elastic = {"depth": self.depth, "expand": self.expand, "kernel": self.kernel, "width_mult": (self.width_mult,)}
        ofa.check(self.shape, self.sides, (self.classes, *self.widths, *self.depth, *self.kernel), elastic)
        if len(self.widths) != len(STRIDES) + 4:
            raise BadOption(f"widths is {list(self.widths)}", hint=f"name {len(STRIDES) + 4} numbers of channels")
        if not all(side % 2 for side in self.kernel):
            raise BadOption(f"kernel is {list(self.kernel)}", hint="the sides of kernels are odd")

    @property
    def dtype(self) -> str:
        """Images are float32."""
        return "float32"

    @property
    def sides(self) -> tuple[int, ...]:
        """To which sizes the input may be resized."""
        return ofa.sides(self.shape, self.resolutions)

    @property
    def space(self) -> Space:
        """Depths, kernel sizes, expand ratios and resolution: `d44444-k7..7-e6..6-r224`."""
        gates = tuple(
            Gate("depth", stage, i + 1) if i + 1 > self.depth[0] else None for stage in range(len(STRIDES)) for i in range(self.depth[-1])
        )
        return Space(
            (
                Dimension("d", "depth", self.depth, len(STRIDES)),
                Dimension("k", "kernel", self.kernel, len(gates), gates=gates),
                Dimension("e", "expand", self.expand, len(gates), gates=gates),
                *ofa.resolution(self.sides),
            )
        )

    def plan(self, point: Point) -> Plan:
        """What a subnet computes."""
        stem, out, *stages, expanded, mixed = (channels(width * self.width_mult) for width in self.widths)
        head = Linear(
            WeightSlice.prefix("classifier.linear.weight", self.classes, mixed), WeightSlice.prefix("classifier.linear.bias", self.classes)
        )
        return (
            *ofa.resized(point, self.shape),
            *ofa.conv_norm("first_conv.conv", "first_conv.bn", stem, self.shape[0], 3, 2),
            HARD_SWISH,
            *_first_block(stem, out),
            *(self._stage(point, stage, *widths) for stage, widths in enumerate(pairwise([out, *stages]))),
            *ofa.conv_norm("final_expand_layer.conv", "final_expand_layer.bn", expanded, stages[-1], 1),
            HARD_SWISH,
            GlobalMean(keep=True),
            Conv(WeightSlice.prefix("feature_mix_layer.conv.weight", mixed, expanded, 1, 1)),
            HARD_SWISH,
            Flatten(),
            head,
        )

    def subnet(self, config: Mapping[str, Any]) -> Subnet:
        """The id of what Once-for-All's `set_active_subnet` calls {"ks": [20 sides], "e": [20 ratios], "d": [5 depths]}.

        A scalar stands for all places; `"r"` is the resolution, the full one when absent. Raises BadOption for what is outside the space.
        """
        count = len(STRIDES) * self.depth[-1]
        places = {"ks": (count, self.kernel), "e": (count, self.expand), "d": (len(STRIDES), self.depth)}
        given = ofa.settings(config, places, self.sides)
        return self.space.subnet({"depth": given["d"], "kernel": given["ks"], "expand": given["e"], "resolution": given["r"]})

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {**asdict(self), "resolutions": self.sides}

    def _stage(self, point: Point, stage: int, before: int, out: int) -> LayerSelect:
        most = self.depth[-1]
        blocks = []
        for i in range(most):
            place, source = stage * most + i, out if i else before
            inner, side = channels(round(source * point["expand"][place])), int(point["kernel"][place])
            sides = tuple(each for each in self.kernel if each >= side)
            blocks.append(_block(f"blocks.{1 + place}.conv", stage, 1 if i else STRIDES[stage], (source, inner, out), sides))
        return LayerSelect(tuple(blocks), first(int(point["depth"][stage])))


@lru_cache(maxsize=4096)  # plans of other subnets have the same blocks
def _block(name: str, stage: int, stride: int, widths: tuple[int, int, int], sides: tuple[int, ...]) -> Plan:
    before, inner, out = widths
    activation = ACTIVATIONS[stage]
    body = (
        *ofa.conv_norm(f"{name}.inverted_bottleneck.conv.conv", f"{name}.inverted_bottleneck.bn.bn", inner, before, 1),
        activation,
        Conv(_kernel(f"{name}.depth_conv.conv", inner, sides), stride, groups=inner),
        ofa.scaled(f"{name}.depth_conv.bn.bn", inner),
        activation,
        *(_squeeze(f"{name}.depth_conv.se.fc", inner) if SQUEEZED[stage] else ()),
        *ofa.conv_norm(f"{name}.point_linear.conv.conv", f"{name}.point_linear.bn.bn", out, inner, 1),
    )
    return (Join("add", (body, ())),) if stride == 1 and before == out else body


def _kernel(name: str, count: int, sides: tuple[int, ...]) -> Weight:
    """Kernels of the first of `sides`, which ascend to the one that is stored."""
    source = WeightSlice.prefix(f"{name}.conv.weight", count, 1, sides[-1], sides[-1])
    chain = pairwise(reversed(sides))
    matrices = tuple(WeightSlice.prefix(f"{name}.{large}to{small}_matrix", small**2, small**2) for large, small in chain)
    return TransformedKernel(source, matrices) if matrices else source


def _first_block(before: int, out: int) -> Plan:
    body: Plan = (
        Conv(WeightSlice.prefix("blocks.0.conv.depth_conv.conv.weight", before, 1, 3, 3), groups=before),
        ofa.scaled("blocks.0.conv.depth_conv.bn", before),
        RELU,
        *ofa.conv_norm("blocks.0.conv.point_linear.conv", "blocks.0.conv.point_linear.bn", out, before, 1),
    )
    return (Join("add", (body, ())),) if before == out else body


def _squeeze(name: str, count: int) -> tuple[Layer, ...]:
    reduced = channels(count // REDUCTION)
    gate = (
        GlobalMean(keep=True),
        _biased(f"{name}.reduce", reduced, count),
        RELU,
        _biased(f"{name}.expand", count, reduced),
        Activation("hard_sigmoid"),
    )
    return (Join("mul", (gate, ())),)


def _biased(name: str, out: int, before: int) -> Conv:
    return Conv(WeightSlice.prefix(f"{name}.weight", out, before, 1, 1), bias=WeightSlice.prefix(f"{name}.bias", out))
