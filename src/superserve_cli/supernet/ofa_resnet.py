"""The family `ofa-resnet50`: the ResNet50-D SuperNet of Once-for-All (Cai et al., 2020; class OFAResNets), by its checkpoint's names.

Elastic are the depth of each stage, the expand ratio of each block, the width of the stem and of each stage, and the size of the
input. The checkpoint holds statistics of the largest subnet alone; every other one has to be calibrated before it runs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption
from superserve_cli.supernet import ofa
from superserve_cli.supernet.conv import channels
from superserve_cli.supernet.layers import RELU, AvgPool, GlobalMean, Join, LayerSelect, Linear, MaxPool, Plan, WeightSlice, first
from superserve_cli.supernet.space import Dimension, Gate, Point, Space

STRIDES: Final = (1, 2, 2, 2)


@dataclass(frozen=True)
class OfaResNet50:
    """The ResNet50-D SuperNet of Once-for-All, elastic in depth, expand ratio, width and input resolution.

    `widths` are the channels of each stage and `stem` those before them, at full width; `blocks` is each stage's smallest depth, to
    which one of `depth` is added. `resolutions` None is 128 to 224 in steps of 32 for images of 224 x 224, else one size. Raises
    BadOption for settings that make no network.
    """

    shape: tuple[int, int, int] = (3, 224, 224)
    classes: int = 1000
    depth: tuple[int, ...] = (0, 1, 2)
    expand: tuple[float, ...] = (0.2, 0.25, 0.35)
    width_mult: tuple[float, ...] = (0.65, 0.8, 1.0)
    resolutions: tuple[int, ...] | None = None
    blocks: tuple[int, ...] = (2, 2, 4, 2)
    stem: int = 64
    widths: tuple[int, ...] = (256, 512, 1024, 2048)

    def __post_init__(self) -> None:
        elastic = {"depth": self.depth, "expand": self.expand, "width_mult": self.width_mult}
        ofa.check(self.shape, self.sides, (self.classes, *self.blocks, self.stem, *self.widths), elastic)
        if not len(self.widths) == len(self.blocks) == len(STRIDES):
            raise BadOption(f"{len(self.widths)} widths and {len(self.blocks)} depths of stages", hint=f"there are {len(STRIDES)} stages")

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
        """Stem block, depths, expand ratios, widths (stem inside, stem out, stages) and resolution: `s1-d2222-e2..2-w222222-r224`."""
        gates = tuple(self._gate(stage, i) for stage in range(len(STRIDES)) for i in range(self._most(stage)))
        return Space(
            (
                Dimension("s", "stem", (0, 1)),
                Dimension("d", "depth", self.depth, len(STRIDES)),
                Dimension("e", "expand", self.expand, len(gates), ofa.CODES[: len(self.expand)], gates),
                Dimension("w", "width", self.width_mult, 2 + len(STRIDES), ofa.CODES[: len(self.width_mult)]),
                *ofa.resolution(self.sides),
            )
        )

    def plan(self, point: Point) -> Plan:
        """What a subnet computes."""
        inner, before, *outs = self._channels(point)
        head = Linear(
            WeightSlice.prefix("classifier.linear.linear.weight", self.classes, outs[-1]),
            WeightSlice.prefix("classifier.linear.linear.bias", self.classes),
        )
        stem = (
            *_layer("input_stem.0", inner, self.shape[0], 3, 2),
            LayerSelect(((Join("add", (_layer("input_stem.1.conv", inner, inner, 3), ())),),), first(int(point["stem"][0]))),
            *_layer("input_stem.2", before, inner, 3),
            MaxPool(3, 2, 1),
        )
        stages = (self._stage(point, stage, [before, *outs][stage], out) for stage, out in enumerate(outs))
        return (*ofa.resized(point, self.shape), *stem, *stages, GlobalMean(), head)

    def subnet(self, config: Mapping[str, Any]) -> Subnet:
        """The id of what Once-for-All's `set_active_subnet` calls {"d": [5 depths], "e": [18 ratios], "w": [6 indices of widths]}.

        A scalar stands for all places; `"r"` is the resolution, the full one when absent. Raises BadOption for what is outside the space.
        """
        space = {d.name: d for d in self.space.dimensions}
        indices = tuple(range(len(self.width_mult)))
        places = {
            "d": (1 + len(STRIDES), self.depth),
            "e": (space["expand"].count, self.expand),
            "w": (space["width"].count, indices),
        }
        given = ofa.settings(config, places, self.sides)
        return self.space.subnet(
            {
                "stem": (float(given["d"][0] == self.depth[-1]),),
                "depth": given["d"][1:],
                "expand": given["e"],
                "width": tuple(self.width_mult[int(i)] for i in given["w"]),
                "resolution": given["r"],
            }
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {**asdict(self), "resolutions": self.sides}

    def _most(self, stage: int) -> int:
        return self.blocks[stage] + self.depth[-1]

    def _gate(self, stage: int, block: int) -> Gate | None:
        least = block + 1 - self.blocks[stage]
        return None if least <= self.depth[0] else Gate("depth", stage, least)

    def _channels(self, point: Point) -> list[int]:
        inner, *widths = point["width"]
        return [
            channels(channels(self.stem * inner) // 2),
            *(channels(f * w) for f, w in zip((self.stem, *self.widths), widths, strict=True)),
        ]

    def _stage(self, point: Point, stage: int, before: int, out: int) -> LayerSelect:
        start = sum(map(self._most, range(stage)))
        blocks = tuple(
            _bottleneck(f"blocks.{start + i}", out if i else before, channels(round(out * point["expand"][start + i])), out, stage, i)
            for i in range(self._most(stage))
        )
        return LayerSelect(blocks, first(self.blocks[stage] + int(point["depth"][stage])))


def _layer(name: str, out: int, before: int, kernel: int, stride: int = 1) -> Plan:
    return (*_linear(name, out, before, kernel, stride), RELU)


def _linear(name: str, out: int, before: int, kernel: int, stride: int = 1) -> Plan:
    return ofa.conv_norm(f"{name}.conv.conv", f"{name}.bn.bn", out, before, kernel, stride)


@lru_cache(maxsize=4096)  # plans of other subnets have the same blocks
def _bottleneck(name: str, before: int, inner: int, out: int, stage: int, place: int) -> Plan:
    stride = 1 if place else STRIDES[stage]
    body = (
        *_layer(f"{name}.conv1", inner, before, 1),
        *_layer(f"{name}.conv2", inner, inner, 3, stride),
        *_linear(f"{name}.conv3", out, inner, 1),
    )
    if place:
        return Join("add", (body, ())), RELU
    pool = (AvgPool(stride, ceil=True),) if stride > 1 else ()
    return Join("add", (body, (*pool, *_linear(f"{name}.downsample", out, before, 1)))), RELU
