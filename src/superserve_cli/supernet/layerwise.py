"""The family `layerwise`: a transformer that may stop after any of its later blocks, by the names of published checkpoints.

A decoder is a MiniCPM (RMSNorm before each half of a block, rotary positions, gated feed-forward, scaled residuals) with a head per
exit, as layer-wise rerankers have it: an exit is the shared last norm and the head of that depth, over the last word. An encoder
is a BERT (LayerNorm after each half), as adaptive-layer embedders have it: an exit is the pooling alone. Elastic is the depth.
"""

from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from typing import Any, Final, Literal, get_args

from superserve_cli.errors import BadOption
from superserve_cli.supernet.layers import (
    Activation,
    Attention,
    Embed,
    Join,
    Layer,
    LayerNorm,
    LayerSelect,
    Linear,
    Plan,
    RmsNorm,
    Scale,
    TokenPool,
    UnitLength,
    WeightSlice,
    first,
)
from superserve_cli.supernet.space import Dimension, Point, Space

Kind = Literal["decoder", "encoder"]
Head = Literal["own", "shared", "none"]
Pool = Literal["first", "last", "mean"]
CHOICES: Final = {"kind": get_args(Kind), "head": get_args(Head), "pool": get_args(Pool)}
GELU, SILU = Activation("gelu"), Activation("silu")


@dataclass(frozen=True)
class Layerwise:
    """A transformer with an exit after each of its blocks from the `start`-th on; its subnets are `d1`, `d2` and so on.

    `head`: each exit has a matrix of its own, or all share one, or there is none and the outputs are the pooled vectors, of
    `width` numbers. `scale_embeddings` multiplies the vectors of words; `scale_depth`, divided by the root of `layers`,
    what each half of a decoder's block adds. `positions` and `types` are the rows of an encoder's tables. The word `padding` is
    masked out, on whichever side of a decoder's words; an encoder counts places from the left. Raises BadOption for settings
    that make no network.
    """

    shape: tuple[int, ...]
    classes: int
    kind: Kind = "decoder"
    words: int = 257
    width: int = 48
    inner: int = 128
    layers: int = 6
    start: int = 1
    heads: int = 4
    key_heads: int = 4
    head: Head = "own"
    pool: Pool = "last"
    unit_length: bool = False
    padding: int = 0
    epsilon: float = 1e-5
    rotary: float = 10_000.0
    scale_embeddings: float = 12.0
    scale_depth: float = 1.4
    positions: int = 512
    types: int = 2

    def __post_init__(self) -> None:
        names = ("classes", "words", "width", "inner", "layers", "start", "heads", "key_heads", "positions", "types")
        for name, count in (*((name, getattr(self, name)) for name in names), *(("shape", side) for side in self.shape)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise BadOption(f"{name} has {count!r}", hint="counts are positive integers")
        for name in ("epsilon", "rotary", "scale_embeddings", "scale_depth"):
            if not isinstance(value := getattr(self, name), int | float) or not isfinite(value) or value <= 0:
                raise BadOption(f"{name} is {value!r}", hint="it is a positive number")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise BadOption(f"{name} is {getattr(self, name)!r}", hint=f"choose one of {', '.join(choices)}")
        self._check_sizes()

    def _check_sizes(self) -> None:
        planes = (1, 2) if self.kind == "encoder" else (1,)
        if len(self.shape) not in planes or self.shape[:-1] not in ((), (2,)):
            raise BadOption(
                f"inputs of shape {self.shape} do not fit the family layerwise",
                hint="it takes words, (length,), an encoder also their types, (2, length); --task digit-tokens has words",
            )
        size, rest = divmod(self.width, self.heads)
        encoder, length = self.kind == "encoder", self.shape[-1]
        wrong = {
            f"a width of {self.width} does not divide into {self.heads} heads": rest,
            f"{self.heads} heads do not share {self.key_heads} key heads": self.heads % self.key_heads,
            f"heads of {size} dimensions cannot be turned in pairs": not encoder and size % 2,
            f"an encoder has as many key heads as heads, not {self.key_heads}": encoder and self.key_heads != self.heads,
            f"exits from {self.start} to {self.layers} are none": self.start > self.layers,
            f"the padding {self.padding!r} is none of {self.words} words": self.padding not in range(self.words),
            f"{length} words need more than {self.positions} positions": encoder and length > self.positions,
            f"{self.classes} outputs, but without a head there are {self.width}": self.head == "none" and self.classes != self.width,
        }
        if found := [what for what, so in wrong.items() if so]:
            raise BadOption(f"layerwise: {found[0]}", hint="its sizes have to fit together")

    @property
    def dtype(self) -> str:
        """Words are int64."""
        return "int64"

    @property
    def space(self) -> Space:
        """After how many blocks to stop."""
        return Space((Dimension("d", "depth", tuple(range(self.start, self.layers + 1))),))

    def plan(self, point: Point) -> Plan:
        """What a subnet computes."""
        depth = int(point["depth"][0])
        embed, block = (self._embed_decoder, self._decoder) if self.kind == "decoder" else (self._embed_encoder, self._encoder)
        return (*embed(), LayerSelect(tuple(map(block, range(self.layers))), first(depth)), *self._exit(depth))

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)

    def _embed_decoder(self) -> Plan:
        words = Embed(WeightSlice.prefix("model.embed_tokens.weight", self.words, self.width), padding=self.padding)
        return (words, *_scale(self.scale_embeddings))

    def _embed_encoder(self) -> Plan:
        words, positions, types = (
            WeightSlice.prefix(f"embeddings.{name}_embeddings.weight", rows, self.width)
            for name, rows in (("word", self.words), ("position", self.positions), ("token_type", self.types))
        )
        return Embed(words, positions, types, self.padding), self._layer_norm("embeddings.LayerNorm")

    def _decoder(self, i: int) -> Plan:
        name, scale = f"model.layers.{i}", _scale(self.scale_depth / sqrt(self.layers))
        size = self.width // self.heads
        query, key, value, out = (
            _linear(f"{name}.self_attn.{part}_proj", rows, before, bias=False)
            for part, rows, before in (
                ("q", self.width, self.width),
                ("k", self.key_heads * size, self.width),
                ("v", self.key_heads * size, self.width),
                ("o", self.width, self.width),
            )
        )
        attention = Attention(query, key, value, out, self.heads, self.key_heads, causal=True, rotary=self.rotary)
        gate, up = (_linear(f"{name}.mlp.{part}_proj", self.inner, self.width, bias=False) for part in ("gate", "up"))
        down = _linear(f"{name}.mlp.down_proj", self.width, self.inner, bias=False)
        return (
            Join("add", ((self._rms_norm(f"{name}.input_layernorm"), attention, *scale), ())),
            Join("add", ((self._rms_norm(f"{name}.post_attention_layernorm"), Join("mul", ((gate, SILU), (up,))), down, *scale), ())),
        )

    def _encoder(self, i: int) -> Plan:
        name, width = f"encoder.layer.{i}", self.width
        query, key, value = (_linear(f"{name}.attention.self.{part}", width, width) for part in ("query", "key", "value"))
        out = _linear(f"{name}.attention.output.dense", width, width)
        feed_forward = (
            _linear(f"{name}.intermediate.dense", self.inner, width),
            GELU,
            _linear(f"{name}.output.dense", width, self.inner),
        )
        return (
            Join("add", ((Attention(query, key, value, out, self.heads, self.heads),), ())),
            self._layer_norm(f"{name}.attention.output.LayerNorm"),
            Join("add", (feed_forward, ())),
            self._layer_norm(f"{name}.output.LayerNorm"),
        )

    def _exit(self, depth: int) -> Plan:
        """Pooling, norm and head. The norm is of each word alone, so that it may wait until one is left, but not for the mean of many."""
        found: list[Layer] = [TokenPool(self.pool)]
        if self.kind == "decoder":
            found.insert(0 if self.pool == "mean" else 1, self._rms_norm("model.norm"))
        if self.head != "none":
            name = f"lm_head.{depth - self.start}" if self.head == "own" else "lm_head"
            found.append(_linear(f"{name}.linear_head", self.classes, self.width, bias=False))
        return (*found, UnitLength()) if self.unit_length else tuple(found)

    def _rms_norm(self, name: str) -> RmsNorm:
        return RmsNorm(WeightSlice.prefix(f"{name}.weight", self.width), self.epsilon)

    def _layer_norm(self, name: str) -> LayerNorm:
        scale, shift = (WeightSlice.prefix(f"{name}.{part}", self.width) for part in ("weight", "bias"))
        return LayerNorm(scale, shift, self.epsilon)


def _scale(factor: float) -> Plan:
    return () if factor == 1 else (Scale(factor),)


def _linear(name: str, out: int, before: int, bias: bool = True) -> Linear:
    return Linear(WeightSlice.prefix(f"{name}.weight", out, before), WeightSlice.prefix(f"{name}.bias", out) if bias else None)
