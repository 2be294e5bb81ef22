"""The vocabulary of plans: what a network computes, as frozen data over ranges of shared parameters.

The paper's three operators (SuperServe, section 3.1) are values here. `LayerSelect` holds all blocks of a stage and says which of
them run; `WeightSlice` names ranges of a parameter; `Norm` is SubnetNorm: its statistics belong to the subnet and not to the
SuperNet. A plan is a sequence of layers, and `Join` and `LayerSelect` hold plans, so that every network is a tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

Ranges = tuple[range, ...]
"""What a subnet uses of a parameter: one range of indices for each of its dimensions."""


@dataclass(frozen=True, slots=True)
class WeightSlice:
    """Ranges of one shared parameter. `of` takes them as a view: nothing is copied."""

    parameter: str
    ranges: Ranges

    @classmethod
    def prefix(cls, parameter: str, *sizes: int) -> "WeightSlice":
        """The first `sizes` indices of each dimension."""
        return cls(parameter, tuple(range(size) for size in sizes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the slice."""
        return tuple(map(len, self.ranges))

    @property
    def slices(self) -> tuple["WeightSlice", ...]:
        """Itself: the only use of a shared parameter that it makes."""
        return (self,)

    def of(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The view itself."""
        return weights[self.parameter][tuple(slice(r.start, r.stop, r.step) for r in self.ranges)]


@dataclass(frozen=True, slots=True)
class TransformedKernel:
    """Depthwise kernels that a chain of learnt matrices makes from the centre of larger ones (Once-for-All, section 3.3).

    `source` is (channels, 1, k, k); each matrix (m * m, m * m) maps the centre m x m of what came before, flattened by rows.
    """

    source: WeightSlice
    matrices: tuple[WeightSlice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the kernels that come out."""
        side = round(self.matrices[-1].shape[0] ** 0.5)
        return (*self.source.shape[:2], side, side)

    @property
    def slices(self) -> tuple[WeightSlice, ...]:
        """The kernels and the matrices."""
        return (self.source, *self.matrices)

    def of(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The kernels, computed: a program does this once, when it is built."""
        kernel = self.source.of(weights)
        for matrix in self.matrices:
            side = round(matrix.shape[0] ** 0.5)
            cut = (kernel.shape[-1] - side) // 2
            centre = kernel[:, :, cut : cut + side, cut : cut + side].flatten(2)
            kernel = F.linear(centre, matrix.of(weights)).view(*centre.shape[:2], side, side)
        return kernel


Weight = WeightSlice | TransformedKernel


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution: weight (out, in / groups, k, k). `padding` None is half the kernel: stride 1 then keeps the size.

    `groups` is 1, or the number of channels: depthwise.
    """

    weight: Weight
    stride: int = 1
    bias: WeightSlice | None = None
    groups: int = 1
    padding: int | None = None

    @property
    def pad(self) -> int:
        """How many zeros are put around the input."""
        return self.weight.shape[-1] // 2 if self.padding is None else self.padding


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation with the subnet's own mean and variance (SubnetNorm), and shared scale and shift."""

    scale: WeightSlice
    shift: WeightSlice
    epsilon: float = 1e-5

    @property
    def channels(self) -> int:
        """How many channels it normalises."""
        return self.scale.shape[0]


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Normalisation over the last dimension, by each row's own mean and variance."""

    scale: WeightSlice
    shift: WeightSlice
    epsilon: float = 1e-5


@dataclass(frozen=True, slots=True)
class RmsNorm:
    """Division by the root of the mean square over the last dimension, times a scale (Zhang & Sennrich, 2019)."""

    scale: WeightSlice
    epsilon: float = 1e-5


@dataclass(frozen=True, slots=True)
class Linear:
    """x @ weight.T + bias over the last dimension. Weight (out, in)."""

    weight: WeightSlice
    bias: WeightSlice | None = None


Kind = Literal["relu", "relu6", "hard_swish", "hard_sigmoid", "sigmoid", "silu", "gelu", "tanh"]


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise function by name; `gelu` is the exact one, `hard_sigmoid` is relu6(x + 3) / 6."""

    kind: Kind


RELU = Activation("relu")


@dataclass(frozen=True, slots=True)
class Scale:
    """x * factor."""

    factor: float


@dataclass(frozen=True, slots=True)
class Resize:
    """Bilinear interpolation of images to `side` x `side`, as `align_corners=False` does."""

    side: int


@dataclass(frozen=True, slots=True)
class AvgPool:
    """The mean over windows of `size` x `size` that do not overlap; `ceil`: a window that sticks out counts what it holds."""

    size: int
    ceil: bool = False


@dataclass(frozen=True, slots=True)
class MaxPool:
    """The largest value in windows of `size` x `size`."""

    size: int
    stride: int
    padding: int = 0


@dataclass(frozen=True, slots=True)
class GlobalMean:
    """The mean over height and width: (n, c, h, w) to (n, c), or to (n, c, 1, 1)."""

    keep: bool = False


@dataclass(frozen=True, slots=True)
class Flatten:
    """(n, ...) to (n, all of it)."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Images as rows of tokens: (n, c, h, w) to (n, h * w, c)."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Adds a learnt vector to each place of a sequence. Table (places, width)."""

    table: WeightSlice


@dataclass(frozen=True, slots=True)
class Embed:
    """Tokens as vectors: a sum of tables looked up by word, place and type.

    Input (n, length) int64 word indices, or (n, 2, length) with the types as second plane where there is a `types` table. The
    word `padding` is masked out in all that follows.
    """

    words: WeightSlice
    positions: WeightSlice | None = None
    types: WeightSlice | None = None
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Attention:
    """Scaled dot-product attention with its four projections; padding is masked out. (n, length, width) to the same.

    Every head has `query.weight.shape[0] / heads` dimensions. `key_heads` may be fewer than `heads` (each then serves several).
    `causal`: no place sees a later one. `rotary`: the base of rotary position embeddings (Su et al., 2021), halves rotated as in
    Llama.
    """

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    heads: int
    key_heads: int
    causal: bool = False
    rotary: float | None = None

    @property
    def projections(self) -> tuple[Linear, Linear, Linear, Linear]:
        """Query, key, value, out."""
        return self.query, self.key, self.value, self.out


@dataclass(frozen=True, slots=True)
class TokenPool:
    """One vector per sequence, (n, length, width) to (n, width): the first, the last or the mean of the words that are not padding."""

    which: Literal["first", "last", "mean"]


@dataclass(frozen=True, slots=True)
class UnitLength:
    """Division by the length of each vector along the last dimension, or by 1e-12 where that is more."""


@dataclass(frozen=True, slots=True)
class Join:
    """Branches over the same input, and what they yield added or multiplied; an empty branch is the identity."""

    kind: Literal["add", "mul"]
    branches: tuple["Plan", ...]


@dataclass(frozen=True, slots=True)
class LayerSelect:
    """A stage: all its blocks, and the indices of those that run, one after the other."""

    blocks: tuple["Plan", ...]
    kept: tuple[int, ...]

    @property
    def selected(self) -> tuple["Plan", ...]:
        """The blocks that run."""
        return tuple(self.blocks[i] for i in self.kept)


Layer = (
    Conv
    | Norm
    | LayerNorm
    | RmsNorm
    | Linear
    | Activation
    | Scale
    | Resize
    | AvgPool
    | MaxPool
    | GlobalMean
    | Flatten
    | Sequence
    | Positions
    | Embed
    | Attention
    | TokenPool
    | UnitLength
    | Join
    | LayerSelect
)
Plan = tuple[Layer, ...]


def first(depth: int) -> tuple[int, ...]:
    """Which blocks of a stage run at a depth in convolutional SuperNets: the first ones."""
    return tuple(range(depth))


def every_other(blocks: int, depth: int) -> tuple[int, ...]:
    """Which of a transformer's blocks run at a depth: evenly spread, floor(i * blocks / depth), as DynaBERT's code keeps them.

    The rule that the SuperServe paper prints, n mod L / (L - D) = 0 with n counted from 1, names the blocks that are dropped.
    """
    return tuple(i * blocks // depth for i in range(depth))
