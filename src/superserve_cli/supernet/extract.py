"""A subnet as an ordinary PyTorch module with weights of its own: what SuperNets are compared with, and checked against."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet.plan import AvgPool, Conv, Layer, Linear, Norm, Plan, Relu, Residual, norms
from superserve_cli.supernet.program import EPSILON, global_mean
from superserve_cli.supernet.supernet import Statistics, SuperNet

Own = Iterator[tuple[Tensor, Tensor]]
"""Mean and variance of each norm layer that is still to come."""


class ResidualBlock(nn.Module):
    """relu(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of a batch."""
        return torch.relu(self.body(x) + self.shortcut(x))


class GlobalMean(nn.Module):
    """The mean over height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c)."""
        return global_mean(x)


def extract(supernet: SuperNet, subnet: Subnet) -> nn.Module:
    """Copy a subnet out of its SuperNet, in evaluation mode. On a CPU its outputs equal those in place bit by bit.

    Raises BadOption for a subnet that is not in the space or not calibrated.
    """
    supernet.program(subnet)  # complains about what cannot run
    plan = supernet.plan(subnet)
    with torch.no_grad():
        return _sequence(plan, supernet.weights, _by_layer(plan, supernet.statistics[subnet])).eval()


def _by_layer(plan: Plan, statistics: Statistics) -> Own:
    channels = [norm.channels for norm in norms(plan)]
    return zip(torch.split(statistics.mean, channels), torch.split(statistics.variance, channels), strict=True)


def _sequence(plan: Plan, weights: Mapping[str, Tensor], own: Own) -> nn.Sequential:
    return nn.Sequential(*(_module(layer, weights, own) for layer in plan))


def _module(layer: Layer, weights: Mapping[str, Tensor], own: Own) -> nn.Module:
    match layer:
        case Residual(body, shortcut):
            return ResidualBlock(_sequence(body, weights, own), _sequence(shortcut, weights, own))
        case Conv():
            return _conv(layer, weights)
        case Norm():
            return _norm(layer, weights, own)
        case Linear():
            return _linear(layer, weights)
        case AvgPool(size):
            return nn.AvgPool2d(size)
        case _:
            return nn.ReLU() if isinstance(layer, Relu) else GlobalMean()


def _conv(layer: Conv, weights: Mapping[str, Tensor]) -> nn.Module:
    out, before, kernel, _ = layer.weight.shape
    module = nn.Conv2d(before, out, kernel, layer.stride, layer.padding, bias=False)
    module.weight = _copy(layer.weight.of(weights).contiguous(memory_format=torch.channels_last))
    return module


def _norm(layer: Norm, weights: Mapping[str, Tensor], own: Own) -> nn.Module:
    module = nn.BatchNorm2d(layer.channels, eps=EPSILON)
    module.weight, module.bias = _copy(layer.scale.of(weights)), _copy(layer.shift.of(weights))
    module.running_mean, module.running_var = (part.clone() for part in next(own))
    return module


def _linear(layer: Linear, weights: Mapping[str, Tensor]) -> nn.Module:
    out, before = layer.weight.shape
    module = nn.Linear(before, out)
    module.weight, module.bias = _copy(layer.weight.of(weights)), _copy(layer.bias.of(weights))
    return module


def _copy(view: Tensor) -> nn.Parameter:
    return nn.Parameter(view.clone(), requires_grad=False)
