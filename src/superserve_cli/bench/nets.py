"""The SuperNets that benchmarks run on, and the models that people would serve without one."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from superserve_cli import supernet
from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import Statistics, SuperNet
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.families import Architecture
from superserve_cli.supernet.supernet import channels_last

BYTES: Final = 4
"""Of a float32."""
RESNETS: Final = {"ResNet-18": 11_689_512, "ResNet-34": 21_797_672, "ResNet-50": 25_557_032, "ResNet-101": 44_549_160}
"""Published parameter counts at 1,000 classes (He et al., 2015): the zoo of hand-tuned models that the paper compares with."""


def ofa_resnet50(count: int, seed: int = 0) -> SuperNet:
    """OFA-ResNet50 with random weights, and unit statistics of `count` subnets: the corners and random ones, all at full resolution."""
    architecture = supernet.family("ofa-resnet50")()
    space = architecture.space
    full = {d.name: d.values[-1:] for d in space.dimensions if d.name == "resolution"}

    def at_full_size(subnet: Subnet) -> Subnet:
        return space.subnet({**space.parse(subnet).settings, **full})

    drawn = space.sample(2 * count, np.random.default_rng(seed))
    chosen = list(dict.fromkeys(map(at_full_size, [space.smallest, space.largest, *drawn])))[:count]
    return of_random_weights(architecture, chosen, seed)


def of_random_weights(architecture: Architecture, calibrated: Sequence[Subnet], seed: int = 0, **metadata: Any) -> SuperNet:
    """An OFA-ResNet50 that has learnt nothing, with unit statistics of some subnets."""
    statistics = {subnet: _unit(architecture, subnet) for subnet in calibrated}
    weights = channels_last(_random(architecture, seed))
    return SuperNet("ofa-resnet50", architecture, weights, statistics, {"name": "ofa-resnet50-random", **metadata})


def _unit(architecture: Architecture, subnet: Subnet) -> Statistics:
    channels = sum(norm.channels for norm in plans.norms(architecture.plan(architecture.space.parse(subnet))))
    return Statistics(torch.zeros(channels), torch.ones(channels))


def _random(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    space = architecture.space
    shapes = {used.parameter: used.shape for used in plans.slices(architecture.plan(space.parse(space.largest)))}
    return {name: _parameter(shape, draw) for name, shape in shapes.items()}


def _parameter(shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    """Kernels by He's rule for what comes in, so that activations keep their size; scales of 1 (and shifts: they cost the same)."""
    if len(shape) == 1:
        return torch.ones(shape)
    return torch.randn(shape, generator=draw) * math.sqrt(2 / math.prod(shape[1:]))


def enlarged(side: int) -> SuperNet:
    """The shipped SuperNet for images of `side` x `side`, with the same weights and statistics: the same front, only slower.

    Its accuracies are those on the images that it has learnt, declared and not measured.
    """
    shipped = supernet.load()
    described = shipped.architecture.to_json()
    architecture = supernet.family(shipped.family)(**{**described, "shape": (described["shape"][0], side, side)})
    kept = {name: value for name, value in shipped.metadata.items() if name in ("front", "subnets")}
    return SuperNet(shipped.family, architecture, shipped.weights, shipped.statistics, {**kept, "name": f"{shipped.name}-{side}"})
