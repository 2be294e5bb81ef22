"""The family `dynabert`: BERT for sequence classification, elastic as DynaBERT (Hou et al., 2020), by its checkpoint's names.

Elastic are the depth and the width: the share of every block's attention heads and feed-forward neurons, the first of each, which
DynaBERT's training put in order of importance. Embeddings, norms, pooler and classifier are used whole. Sizes of subnets follow
DynaBERT's code.
"""

from dataclasses import asdict, dataclass
from math import floor
from typing import Any

from superserve_cli.errors import BadOption
from superserve_cli.supernet.layers import (
    Activation,
    Attention,
    Embed,
    Join,
    LayerNorm,
    LayerSelect,
    Linear,
    Plan,
    TokenPool,
    WeightSlice,
)
from superserve_cli.supernet.space import Dimension, Point, Space

PLANES = 2
"""Words, and the sentence that each belongs to."""


@dataclass(frozen=True)
class DynaBert:
    """A BERT whose subnets are those of DynaBERT; the sizes of BERT-base unless said otherwise.

    Inputs are int64 (2, length): words, and their token types; the word `padding` is masked out. `depth_mult` are the shares of the
    `layers` that run, `width_mult` those of heads and feed-forward neurons. Raises BadOption for settings that make no network.
    """

    shape: tuple[int, ...] = (PLANES, 128)
    classes: int = 2
    hidden: int = 768
    heads: int = 12
    ffn: int = 3072
    layers: int = 12
    vocabulary: int = 30522
    positions: int = 512
    types: int = 2
    padding: int = 0
    epsilon: float = 1e-12
    depth_mult: tuple[float, ...] = (0.5, 0.75, 1.0)
    width_mult: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)

    def __post_init__(self) -> None:
        sizes = (self.classes, self.hidden, self.heads, self.ffn, self.layers, self.vocabulary, self.positions, self.types)
        if not all(isinstance(count, int) and count > 0 for count in (*self.shape, *sizes)):
            raise BadOption(f"{self} has a count that is none", hint="shape, classes and sizes are positive integers")
        if len(self.shape) != PLANES or self.shape[0] != PLANES:
            raise BadOption(
                f"inputs of shape {self.shape} do not fit the family dynabert", hint="it takes (2, length): words and their types"
            )
        if self.length > self.positions:
            raise BadOption(f"inputs of {self.length} words, and embeddings of {self.positions} positions", hint="take shorter inputs")
        if self.hidden % self.heads:
            raise BadOption(f"{self.heads} heads do not divide a width of {self.hidden}", hint="choose hidden as a multiple of heads")
        if not isinstance(self.padding, int) or not 0 <= self.padding < self.vocabulary:
            raise BadOption(f"the padding is word {self.padding}", hint=f"it is one of the {self.vocabulary} words")
        if not isinstance(self.epsilon, float) or self.epsilon <= 0:
            raise BadOption(f"epsilon is {self.epsilon}", hint="it is a small positive number, as 1e-12")
        for name, values in {"depth_mult": self.depth_mult, "width_mult": self.width_mult}.items():
            if not values or list(values) != sorted(set(values)) or not 0 < values[0] <= values[-1] == 1:
                raise BadOption(f"{name} is {list(values)}", hint="name shares in ascending order, the last 1")
        smallest = round(self.layers * self.depth_mult[0]), round(self.heads * self.width_mult[0])
        if not all(smallest):
            raise BadOption(f"{self.layers} layers of {self.heads} heads are too few", hint="every share leaves one of each")

    @property
    def dtype(self) -> str:
        """Words are int64."""
        return "int64"

    @property
    def length(self) -> int:
        """How many words an input has, padding included."""
        return self.shape[1]

    @property
    def depths(self) -> dict[int, float]:
        """How many blocks run, and the share of the blocks that it stands for."""
        return {round(self.layers * share): share for share in self.depth_mult}

    @property
    def space(self) -> Space:
        """Blocks that run, and the share of heads and neurons in each: `d9-w0.75`."""
        return Space((Dimension("d", "depth", tuple(self.depths)), Dimension("w", "width", self.width_mult)))

    def plan(self, point: Point) -> Plan:
        """What a subnet computes."""
        (depth,), (width,) = point["depth"], point["width"]
        heads = round(self.heads * width)
        blocks = tuple(self._block(f"bert.encoder.layer.{i}", heads) for i in range(self.layers))
        return (
            self._embedding("bert.embeddings"),
            self._norm("bert.embeddings.LayerNorm"),
            LayerSelect(blocks, kept(self.layers, self.depths[int(depth)])),
            TokenPool("first"),
            _linear("bert.pooler.dense", self.hidden, self.hidden),
            Activation("tanh"),
            _linear("classifier", self.classes, self.hidden),
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)

    def _embedding(self, name: str) -> Embed:
        rows = {"word": self.vocabulary, "position": self.positions, "token_type": self.types}
        words, positions, types = (WeightSlice.prefix(f"{name}.{of}_embeddings.weight", count, self.hidden) for of, count in rows.items())
        return Embed(words, positions, types, self.padding)

    def _block(self, name: str, heads: int) -> Plan:
        inner, neurons = heads * self.hidden // self.heads, heads * self.ffn // self.heads
        query, key, value = (_linear(f"{name}.attention.self.{part}", inner, self.hidden) for part in ("query", "key", "value"))
        attention = Attention(query, key, value, _linear(f"{name}.attention.output.dense", self.hidden, inner), heads, heads)
        grow, shrink = _linear(f"{name}.intermediate.dense", neurons, self.hidden), _linear(f"{name}.output.dense", self.hidden, neurons)
        return (
            Join("add", ((attention,), ())),
            self._norm(f"{name}.attention.output.LayerNorm"),
            Join("add", ((grow, Activation("gelu"), shrink), ())),
            self._norm(f"{name}.output.LayerNorm"),
        )

    def _norm(self, name: str) -> LayerNorm:
        scale, shift = (WeightSlice.prefix(f"{name}.{part}", self.hidden) for part in ("weight", "bias"))
        return LayerNorm(scale, shift, self.epsilon)


def kept(layers: int, share: float) -> tuple[int, ...]:
    """Which blocks run at a share of the depth, as DynaBERT's code chooses them."""
    return tuple(floor(i / share) for i in range(round(share * layers)))


def _linear(name: str, out: int, before: int) -> Linear:
    return Linear(WeightSlice.prefix(f"{name}.weight", out, before), WeightSlice.prefix(f"{name}.bias", out))
