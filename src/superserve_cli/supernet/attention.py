"""Attention as an operation, and the padding that it does not see."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

MASKED: Final = -1e4
"""Added to the scores of padding, as BERT does: finite, so that a row that sees only padding stays a number."""


class Padding(NamedTuple):
    """Which words of a batch are not padding: `keep` (n, length) bool, `bias` (n, 1, 1, length) to add to attention scores."""

    keep: Tensor
    bias: Tensor


Operation = Callable[[Tensor, Padding | None], Tensor]


def padding_of(words: Tensor, padding: int) -> Padding:
    """Which of the words (n, length) or (n, 2, length) are not `padding`."""
    keep = (words if words.ndim == 2 else words[:, 0]) != padding
    return Padding(keep, (~keep)[:, None, None] * MASKED)


@dataclass(frozen=True, slots=True)
class Project:
    """A bound `Linear`."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor, _: Padding | None = None) -> Tensor:
        """(..., in) to (..., out)."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Attend:
    """A bound `Attention`."""

    query: Project
    key: Project
    value: Project
    out: Project
    heads: int
    key_heads: int
    causal: bool
    rotary: float | None

    def __call__(self, x: Tensor, padding: Padding | None) -> Tensor:
        """(n, length, width) to the same shape."""
        q, k, v = (
            self._split(self.query(x), self.heads),
            self._split(self.key(x), self.key_heads),
            self._split(self.value(x), self.key_heads),
        )
        if self.rotary is not None:
            cos, sin = turns(self.rotary, q.shape[-1], q.shape[-2], q.device, q.dtype)
            q, k = turned(q, cos, sin), turned(k, cos, sin)
        if self.key_heads != self.heads:
            k, v = (part.repeat_interleave(self.heads // self.key_heads, 1) for part in (k, v))
        bias = None if padding is None else padding.bias.to(q.dtype)
        if bias is not None and self.causal:
            bias = bias + later(q.shape[-2], q.device, q.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v, bias, is_causal=self.causal and bias is None)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


@lru_cache(maxsize=64)
def turns(base: float, dimensions: int, length: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, dimensions) of rotary embeddings, both halves of the dimensions turned alike."""
    with torch.inference_mode(False):
        frequency = base ** (-torch.arange(0, dimensions, 2, dtype=torch.float32) / dimensions)
        angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency).repeat(1, 2)
        return angle.cos().to(device, dtype), angle.sin().to(device, dtype)


@lru_cache(maxsize=64)
def later(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The bias (length, length) that hides from each place those after it."""
    with torch.inference_mode(False):
        return torch.full((length, length), MASKED).triu(1).to(device, dtype)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys (n, heads, length, dimensions), turned by their place."""
    one, other = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-other, one), -1) * sin
