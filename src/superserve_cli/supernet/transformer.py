"""The family `transformer`: a small pre-norm vision transformer, elastic as in DynaBERT and in SuperServe, section 3.1.

A small convolution, cut into patches, makes tokens of an image (with an early convolution transformers learn in far fewer steps:
Xiao et al., 2021). Blocks of attention and of a feed-forward network follow, each added to its input; the mean of the tokens is
classified. Elastic are the depth (evenly spread blocks run), the heads of every block and the neurons of its feed-forward network
(the first ones run). Nothing is normalised by batch, so no subnet needs statistics.
"""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from superserve_cli.errors import BadOption
from superserve_cli.supernet.layers import (
    Activation,
    Attention,
    Conv,
    Join,
    LayerNorm,
    LayerSelect,
    Linear,
    Plan,
    Positions,
    Sequence,
    TokenPool,
    WeightSlice,
    every_other,
)
from superserve_cli.supernet.space import Dimension, Point, Space


@dataclass(frozen=True)
class Transformer:
    """A vision transformer for small images, elastic in depth, heads and neurons of the feed-forward networks.

    `stem` are the channels of the convolution, which is cut into patches of `patch` x `patch`; `hidden` is the width of a token,
    `heads` and `ffn` are heads and neurons of a block at full width. `depth` counts the blocks that run, `width` is the share of the
    heads, `expand` that of the neurons (both rounded up). Raises BadOption for settings that make no network.
    """

    shape: tuple[int, int, int]
    classes: int
    stem: int = 16
    patch: int = 4
    hidden: int = 64
    heads: int = 4
    ffn: int = 256
    depth: tuple[int, ...] = (2, 3, 4, 6)
    width: tuple[float, ...] = (0.25, 0.5, 1.0)
    expand: tuple[float, ...] = (0.25, 0.5, 1.0)

    def __post_init__(self) -> None:
        counts = (*self.shape, self.classes, self.stem, self.patch, self.hidden, self.heads, self.ffn, *self.depth)
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise BadOption(f"{self} has a count that is none", hint="shape, classes, sizes and depth are positive integers")
        if len(self.shape) != 3:
            raise BadOption(
                f"inputs of shape {self.shape} do not fit the family transformer", hint="it takes images: channels, height, width"
            )
        for name, values in {"depth": self.depth, "width": self.width, "expand": self.expand}.items():
            if not values or list(values) != sorted(set(values)) or values[0] <= 0:
                raise BadOption(f"{name} is {list(values)}", hint="name positive values in ascending order")
        if self.width[-1] > 1 or self.expand[-1] > 1:
            raise BadOption(f"width or expand is more than 1: {self.width[-1]}, {self.expand[-1]}", hint="they are shares of heads and ffn")
        if self.hidden % self.heads:
            raise BadOption(f"{self.heads} heads do not divide a width of {self.hidden}", hint="choose hidden as a multiple of heads")
        if any(side % self.patch for side in self.shape[1:]):
            raise BadOption(
                f"images of {self.shape[1]}x{self.shape[2]} do not fit the family transformer",
                hint=f"their sides are multiples of {self.patch}",
            )

    @property
    def dtype(self) -> str:
        """Images are float32."""
        return "float32"

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.depth[-1]

    @property
    def space(self) -> Space:
        """Depth, share of the heads, share of the feed-forward neurons: `d4-w0.5-f1`."""
        return Space((Dimension("d", "depth", self.depth), Dimension("w", "width", self.width), Dimension("f", "expand", self.expand)))

    def plan(self, point: Point) -> Plan:
        """What a subnet computes."""
        (depth,), (width,), (expand,) = point["depth"], point["width"], point["expand"]
        blocks = tuple(self._block(f"blocks.{i}", ceil(width * self.heads), ceil(expand * self.ffn)) for i in range(self.blocks))
        places = self.shape[1] * self.shape[2] // self.patch**2
        kernel = WeightSlice.prefix("patch.weight", self.hidden, self.stem, self.patch, self.patch)
        return (
            Conv(WeightSlice.prefix("stem.weight", self.stem, self.shape[0], 3, 3), 1, WeightSlice.prefix("stem.bias", self.stem)),
            Activation("gelu"),
            Conv(kernel, self.patch, WeightSlice.prefix("patch.bias", self.hidden), padding=0),
            Sequence(),
            Positions(WeightSlice.prefix("positions", places, self.hidden)),
            LayerSelect(blocks, every_other(self.blocks, int(depth))),
            self._norm("norm"),
            TokenPool("mean"),
            _linear("head", self.classes, self.hidden),
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)

    def _block(self, name: str, heads: int, ffn: int) -> Plan:
        inner = heads * self.hidden // self.heads
        query, key, value = (_linear(f"{name}.attention.{part}", inner, self.hidden) for part in ("query", "key", "value"))
        attention = Attention(query, key, value, _linear(f"{name}.attention.out", self.hidden, inner), heads, heads)
        grow, shrink = _linear(f"{name}.ffn.grow", ffn, self.hidden), _linear(f"{name}.ffn.shrink", self.hidden, ffn)
        return (
            Join("add", ((self._norm(f"{name}.attention.norm"), attention), ())),
            Join("add", ((self._norm(f"{name}.ffn.norm"), grow, Activation("gelu"), shrink), ())),
        )

    def _norm(self, name: str) -> LayerNorm:
        return LayerNorm(WeightSlice.prefix(f"{name}.weight", self.hidden), WeightSlice.prefix(f"{name}.bias", self.hidden))


def _linear(name: str, out: int, before: int) -> Linear:
    return Linear(WeightSlice.prefix(f"{name}.weight", out, before), WeightSlice.prefix(f"{name}.bias", out))
