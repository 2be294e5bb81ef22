"""Small nets of the Once-for-All families with random weights, and checkpoints as its code writes them."""

import ast
import math
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.families import Architecture, parameters
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from superserve_cli.supernet.ofa_resnet import OfaResNet50
from superserve_cli.supernet.supernet import Statistics, SuperNet, channels_last

KEYS = Path(__file__).parent / "keys"
TINY_RESNET = OfaResNet50(
    (3, 32, 32), 5, (0, 1), (0.25, 0.5), (0.5, 1.0), resolutions=(16, 32), blocks=(1, 1, 2, 1), stem=32, widths=(32, 48, 64, 80)
)
TINY_MBV3 = OfaMbv3((3, 32, 32), 5, depth=(1, 2), expand=(2, 3), resolutions=(16, 32), widths=(8, 8, 16, 16, 24, 24, 32, 48, 64))


def numbers(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Random values for a parameter, of a size at which a signal neither grows nor vanishes."""
    rng = torch.Generator().manual_seed(seed)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return torch.rand(shape, generator=rng) + 0.5
    inputs: int = max(1, prod(shape[1:]))
    return torch.randn(shape, generator=rng) / math.sqrt(inputs)


def supernet(family: str, architecture: Architecture, *calibrated: str) -> SuperNet:
    """A SuperNet with random weights, in which some subnets have (random) statistics; the largest and the smallest always."""
    weights = {name: numbers(name, shape, i) for i, (name, shape) in enumerate(parameters(architecture).items())}
    statistics = {}
    for i, subnet in enumerate((architecture.space.smallest, architecture.space.largest, *calibrated)):
        channels = sum(norm.channels for norm in plans.norms(architecture.plan(architecture.space.parse(subnet))))
        statistics[subnet] = Statistics(numbers("running_mean", (channels,), i), numbers("running_var", (channels,), i))
    return SuperNet(family, architecture, channels_last(weights), statistics)


def some(architecture: Architecture, count: int = 6) -> list[str]:
    """Random subnets of a space."""
    return architecture.space.sample(count, np.random.default_rng(1))


def checkpoint(architecture: Architecture) -> dict[str, Tensor]:
    """What `state_dict()` holds of a SuperNet: weights, and the buffers of every BatchNorm."""
    shapes = parameters(architecture)
    space = architecture.space
    for norm in plans.norms(architecture.plan(space.parse(space.largest))):
        module = norm.scale.parameter.rpartition(".")[0]
        shapes |= {
            f"{module}.running_mean": norm.scale.shape,
            f"{module}.running_var": norm.scale.shape,
            f"{module}.num_batches_tracked": (),
        }
    return {name: numbers(name, shape, i) for i, (name, shape) in enumerate(shapes.items())}


def published(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a published checkpoint."""
    lines = (KEYS / f"{name}.tsv").read_text().splitlines()
    return {name: ast.literal_eval(shape) for name, _, shape in (line.partition("\t") for line in lines)}


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
