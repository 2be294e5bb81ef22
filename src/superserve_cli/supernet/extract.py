"""A subnet as an ordinary PyTorch module with weights of its own: what SuperNets are compared with, and checked against."""

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Final

import torch
from torch import Tensor, nn

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.attention import Padding, padding_of
from superserve_cli.supernet.boxes import grid
from superserve_cli.supernet.layers import (
    Activation,
    AvgPool,
    Conv,
    Embed,
    Flatten,
    Join,
    Layer,
    LayerNorm,
    LayerSelect,
    Linear,
    MaxPool,
    Norm,
    Plan,
)
from superserve_cli.supernet.operations import operation
from superserve_cli.supernet.program import fresh
from superserve_cli.supernet.supernet import Statistics, SuperNet

Own = Iterator[tuple[Tensor, Tensor]]
"""Mean and variance of each norm layer that is still to come."""
UNBORN: Final = "meta"
"""Where modules are made whose parameters are put in at once: no random numbers are drawn for nothing."""
ACTIVATIONS: Final[dict[str, type[nn.Module]]] = {
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "hard_sigmoid": nn.Hardsigmoid,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


class Chain(nn.Sequential):
    """Modules in a row; `padding` is for those that mask out padded words."""

    def forward(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        """The outputs of a batch."""
        for module in self:
            x = module(x, padding) if isinstance(module, Chain | Joined | Layered) else module(x)
        return x


class Network(Chain):
    """A whole subnet; `word` is the one that is masked out, of networks that read words."""

    def __init__(self, modules: list[nn.Module], word: int | None) -> None:
        super().__init__(*modules)
        self.word = word

    def forward(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        """The outputs of a batch."""
        return super().forward(x, padding if self.word is None else padding_of(x, self.word))


class Joined(nn.Module):
    """The sum or the product of what its branches make of x."""

    def __init__(self, kind: str, branches: list[Chain]) -> None:
        super().__init__()
        self.kind, self.branches = kind, nn.ModuleList(branches)

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """The outputs of a batch."""
        outputs: list[Tensor] = [branch(x, padding) for branch in self.branches]
        return reduce(torch.mul if self.kind == "mul" else torch.add, outputs)


class Layered(nn.Module):
    """A layer that PyTorch has no module for, over parameters of its own."""

    def __init__(self, layer: Layer, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        own = {weight: _copy(weight.of(weights)) for weight in plans.weights(layer)}
        self.own = nn.ParameterList(own.values())
        self.operation = operation(layer, own.__getitem__)

    def forward(self, x: Tensor, padding: Padding | None) -> Tensor:
        """The outputs of a batch."""
        return self.operation(x, padding)


def extract(supernet: SuperNet, subnet: Subnet) -> nn.Module:
    """Copy a subnet out of its SuperNet, in evaluation mode. On a CPU its outputs equal those in place bit by bit.

    Raises BadOption for a subnet that is not in the space or not calibrated.
    """
    supernet.program(subnet)  # complains about what cannot run
    plan = supernet.plan(subnet)
    words = next((layer for layer in plan if isinstance(layer, Embed)), None)
    with torch.no_grad():
        modules = _modules(plan, supernet.weights, _by_layer(plan, supernet.statistics.get(subnet)))
        return Network(modules, None if words is None else words.padding).eval()


def tensors(supernet: SuperNet, subnet: Subnet) -> dict[str, Tensor]:
    """What a subnet computes with, contiguous, by parameter name; statistics as `running_mean` and `running_var` beside their scale.

    Of a parameter that is used in several boxes, the smallest tensor that holds them: the rows of queries, keys and values, say.
    """
    supernet.program(subnet)
    plan = supernet.plan(subnet)
    named = {parameter: _cut(supernet.weights[parameter], grid(each)) for parameter, each in plans.uses(plan).items()}
    for norm, (mean, variance) in zip(plans.norms(plan), _by_layer(plan, supernet.statistics.get(subnet)), strict=True):
        stem = norm.scale.parameter.rpartition(".")[0]
        named |= {f"{stem}.running_mean": mean.contiguous(), f"{stem}.running_var": variance.contiguous()}
    return named


def _cut(weight: Tensor, indices: tuple[tuple[range, ...], ...]) -> Tensor:
    for dimension, ranges in enumerate(indices):
        before = (slice(None),) * dimension
        weight = torch.cat([weight[(*before, slice(r.start, r.stop, r.step))] for r in ranges], dimension)
    return weight.contiguous()


def _by_layer(plan: Plan, statistics: Statistics | None) -> Own:
    if statistics is None:
        return iter(())
    channels = [norm.channels for norm in plans.norms(plan)]
    return zip(torch.split(statistics.mean, channels), torch.split(statistics.variance, channels), strict=True)


def _modules(plan: Plan, weights: Mapping[str, Tensor], own: Own) -> list[nn.Module]:
    found: list[nn.Module] = []
    for place, layer in enumerate(plan):
        match layer:
            case LayerSelect():
                found += [module for block in layer.selected for module in _modules(block, weights, own)]
            case Join(kind, branches):
                found.append(Joined(kind, [Chain(*_modules(branch, weights, own)) for branch in branches]))
            case Norm():
                found.append(_norm(layer, weights, own))
            case Activation("relu"):
                found.append(nn.ReLU(inplace=fresh(plan, place)))
            case _:
                found.append(_module(layer, weights))
    return found


def _module(layer: Layer, weights: Mapping[str, Tensor]) -> nn.Module:  # noqa: PLR0911  # one line per kind of layer
    match layer:
        case Conv():
            return _conv(layer, weights)
        case Linear():
            return _linear(layer, weights)
        case LayerNorm():
            return _layer_norm(layer, weights)
        case Activation(kind):
            return ACTIVATIONS[kind]()
        case AvgPool(size, ceil):
            return nn.AvgPool2d(size, ceil_mode=ceil)
        case MaxPool(size, stride, padding):
            return nn.MaxPool2d(size, stride, padding)
        case Flatten():
            return nn.Flatten()
        case _:
            return Layered(layer, weights)


def _conv(layer: Conv, weights: Mapping[str, Tensor]) -> nn.Module:
    out, before, kernel, _ = layer.weight.shape
    module = nn.Conv2d(
        before * layer.groups, out, kernel, layer.stride, layer.pad, groups=layer.groups, bias=layer.bias is not None, device=UNBORN
    )
    module.weight = _copy(layer.weight.of(weights).contiguous(memory_format=torch.channels_last))
    if layer.bias is not None:
        module.bias = _copy(layer.bias.of(weights))
    return module


def _norm(layer: Norm, weights: Mapping[str, Tensor], own: Own) -> nn.Module:
    module = nn.BatchNorm2d(layer.channels, eps=layer.epsilon)
    module.weight, module.bias = _copy(layer.scale.of(weights)), _copy(layer.shift.of(weights))
    module.running_mean, module.running_var = (part.clone() for part in next(own))
    return module


def _layer_norm(layer: LayerNorm, weights: Mapping[str, Tensor]) -> nn.Module:
    module = nn.LayerNorm(layer.scale.shape, layer.epsilon)
    module.weight, module.bias = _copy(layer.scale.of(weights)), _copy(layer.shift.of(weights))
    return module


def _linear(layer: Linear, weights: Mapping[str, Tensor]) -> nn.Module:
    out, before = layer.weight.shape
    module = nn.Linear(before, out, bias=layer.bias is not None, device=UNBORN)
    module.weight = _copy(layer.weight.of(weights))
    if layer.bias is not None:
        module.bias = _copy(layer.bias.of(weights))
    return module


def _copy(view: Tensor) -> nn.Parameter:
    return nn.Parameter(view.clone(), requires_grad=False)
