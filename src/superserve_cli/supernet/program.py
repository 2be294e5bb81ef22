"""A plan bound to tensors: what actuates a subnet.

A program is an immutable tuple of operations over views of the shared weights. It is built once; from then on, to switch
subnets is to call another program.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from superserve_cli.supernet.attention import Operation, padding_of
from superserve_cli.supernet.layers import Activation, Attention, Conv, Embed, Join, LayerSelect, Linear, Norm, Plan, Weight
from superserve_cli.supernet.operations import Add, Elementwise, Multiply, Normalize, NormalizeByBatch, Select, Take, operation, run
from superserve_cli.supernet.plan import norms


@dataclass(frozen=True, slots=True)
class Program:
    """What one subnet does, bound to tensors. `padding` is the word that is masked out, of networks that read words."""

    operations: tuple[Operation, ...]
    padding: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs of a batch (n, ...)."""
        return run(self.operations, x, None if self.padding is None else padding_of(x, self.padding))


def fresh(plan: Plan, place: int) -> bool:
    """Whether the input of a layer was made by the layer before it, and by one whose output may be overwritten."""
    return place > 0 and isinstance(plan[place - 1], OWN | Join)


def bind(plan: Plan, take: Take, normalize: Callable[[Norm], Operation]) -> Program:
    """The program of a plan over the tensors that `take` gives; `normalize` binds each SubnetNorm layer, in the order of `plan.norms`."""
    words = next((layer for layer in plan if isinstance(layer, Embed)), None)
    return Program(_bound(plan, take, normalize), None if words is None else words.padding)


def _bound(plan: Plan, take: Take, normalize: Callable[[Norm], Operation]) -> tuple[Operation, ...]:
    operations: list[Operation] = []
    for place, layer in enumerate(plan):
        match layer:
            case Norm():
                operations.append(normalize(layer))
            case Join(kind, branches):
                branches = tuple(sorted(branches, key=lambda branch: not branch))  # the identity last: what the first yields is overwritten
                bound = tuple(_bound(branch, take, normalize) for branch in branches)
                operations.append(Multiply(bound) if kind == "mul" else Add(bound, bool(branches[0]) and isinstance(branches[0][-1], OWN)))
            case LayerSelect():
                operations.append(Select(tuple(op for block in layer.selected for op in _bound(block, take, normalize))))
            case Activation("relu") if fresh(plan, place):
                operations.append(Elementwise(torch.relu_))
            case _:
                operations.append(operation(layer, take))
    return tuple(operations)


OWN: Final = Conv | Norm | Linear | Attention
"""Layers whose output is a new tensor that no backward pass looks at again."""


def views(weights: Mapping[str, Tensor]) -> Take:
    """Takes each weight as a view of the shared one."""
    return lambda weight: weight.of(weights)


def remembered(take: Take) -> Take:
    """Takes each weight only once: subnets that use the same part of a weight then hold one view of it, not one each."""
    taken: dict[Weight, Tensor] = {}

    def look_up(weight: Weight) -> Tensor:
        if (tensor := taken.get(weight)) is None:
            tensor = taken[weight] = take(weight)
        return tensor

    return look_up


def packed(weights: Mapping[str, Tensor]) -> Take:
    """Takes each weight as a contiguous tensor, kernels channel by channel: a copy, unless the view is one already."""

    def take(weight: Weight) -> Tensor:
        view = weight.of(weights)
        return view.contiguous(memory_format=torch.channels_last if view.ndim == 4 else torch.contiguous_format)

    return take


def by_batch(take: Take) -> Callable[[Norm], Operation]:
    """Binds SubnetNorm layers to the statistics of whatever batch comes."""
    return lambda norm: NormalizeByBatch(take(norm.scale), take(norm.shift), norm.epsilon)


def by_statistics(plan: Plan, take: Take, mean: Tensor, variance: Tensor) -> Callable[[Norm], Operation]:
    """Binds SubnetNorm layers to a subnet's own statistics: two vectors, all layers one after the other."""
    channels = [norm.channels for norm in norms(plan)]
    own = iter(zip(torch.split(mean, channels), torch.split(variance, channels), strict=True))
    return lambda norm: Normalize(take(norm.scale), take(norm.shift), *next(own), norm.epsilon)
