"""What the weights of a SuperNet are before its training."""

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import torch
from torch import Tensor

from superserve_cli.supernet.families import Architecture, covering
from superserve_cli.supernet.layers import (
    Attention,
    Conv,
    Embed,
    Join,
    LayerNorm,
    LayerSelect,
    Linear,
    Norm,
    Plan,
    Positions,
    RmsNorm,
    WeightSlice,
)

HEAD: Final = 0.01
"""Standard deviation of a classifier: its first answers are nearly uniform."""
TABLE: Final = 0.02
"""Standard deviation of embeddings, as in BERT and GPT-2."""
PLACES: Final = 1.0
"""Standard deviation of the vectors of places in an image: smaller ones drown in the patches, and attention is slow to find them."""


class Start(NamedTuple):
    """What a parameter is before training: normal around 0, or `constant` where there is no deviation."""

    weight: WeightSlice | None
    deviation: float = 0.0
    constant: float = 0.0


Ending = Callable[[int], float]
"""The deviation of a linear layer that ends a plan, by the number of its inputs."""


def initial_weights(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """Parameters of all blocks at full width, drawn in the order of the largest subnet's plan, and those that only others use.

    Kernels are He's normal, linear layers keep the variance of their input, norms are the identity, tables and classifiers are near
    zero. A linear layer that ends one of n residual branches is smaller by the root of n, so that deep and shallow subnets start
    alike (GPT-2, section 2.3).
    """
    draw, weights = torch.Generator().manual_seed(seed), dict[str, Tensor]()
    for weight, deviation, constant in (start for plan in covering(architecture) for start in _of(plan)):
        if weight is None or weight.parameter in weights:
            continue
        drawn = torch.randn(weight.shape, generator=draw) * deviation if deviation else torch.full(weight.shape, constant)
        weights[weight.parameter] = drawn
    return weights


def _of(plan: Plan) -> Iterator[Start]:
    branches = max(1, _branches(plan))
    return _starts(plan, lambda _: HEAD, lambda inputs: 1 / math.sqrt(inputs * branches))


def _branches(plan: Plan) -> int:
    """How many residual branches end in a linear layer, those of blocks that do not run included."""
    total = 0
    for layer in plan:
        match layer:
            case Join(kind, parts):
                total += sum(_branches(part) + (kind == "add" and isinstance(part[-1], Linear | Attention)) for part in parts if part)
            case LayerSelect(blocks):
                total += sum(map(_branches, blocks))
            case _:
                pass
    return total


def _kept(inputs: int) -> float:
    return 1 / math.sqrt(inputs)


def _starts(plan: Plan, ending: Ending, residual: Ending) -> Iterator[Start]:  # noqa: PLR0912  # one line per kind of layer
    for place, layer in enumerate(plan):
        last = ending if place == len(plan) - 1 else _kept
        match layer:
            case Join(kind, branches):
                for branch in branches:
                    yield from _starts(branch, residual if kind == "add" else _kept, residual)
            case LayerSelect(blocks):
                for block in blocks:
                    yield from _starts(block, last, residual)
            case Conv(WeightSlice() as weight, _, bias, groups):
                yield from (Start(weight, _kernel(weight, bias, groups)), Start(bias))
            case Linear():
                yield from _linear(layer, last)
            case Attention():
                yield from (start for projection in layer.projections[:3] for start in _linear(projection, _kept))
                yield from _linear(layer.out, last)
            case Norm(scale, shift) | LayerNorm(scale, shift):
                yield from (Start(scale, constant=1.0), Start(shift))
            case RmsNorm(scale):
                yield Start(scale, constant=1.0)
            case Embed(words, positions, types):
                yield from (Start(table, TABLE) for table in (words, positions, types))
            case Positions(table):
                yield Start(table, PLACES)
            case _:
                pass


def _kernel(weight: WeightSlice, bias: WeightSlice | None, groups: int) -> float:
    """He's deviation by outputs where a norm follows; where a bias says that none does, the variance of the input is kept."""
    outputs, inputs, *sides = weight.shape
    return math.sqrt(2 * groups / (outputs * math.prod(sides))) if bias is None else _kept(inputs * math.prod(sides))


def _linear(layer: Linear, deviation: Ending) -> Iterator[Start]:
    yield from (Start(layer.weight, deviation(layer.weight.shape[1])), Start(layer.bias))
