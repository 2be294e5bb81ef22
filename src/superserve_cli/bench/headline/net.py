from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli import supernet
from superserve_cli.bench.nets import of_random_weights
from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.families import Architecture

ACCURACIES: Final = (0.7382, 0.7669, 0.7764, 0.7825, 0.7944, 0.8016)
"""ImageNet accuracies of the paper's six subnets of OFA-ResNet50, looked up: nothing here measures them."""
ABOUT: Final = "random weights; accuracies looked up: those of the SuperServe paper's six subnets, by rank of MACs"
POOL: Final = 512
"""Different images that requests send."""


def paper_net(seed: int = 0) -> SuperNet:
    """OFA-ResNet50 with random weights and six subnets, spread evenly over the multiply-accumulates of 224 x 224 images."""
    architecture = supernet.family("ofa-resnet50")()
    chosen = six(architecture)
    rows = {subnet: {"test": accuracy} for subnet, accuracy in zip(chosen, ACCURACIES, strict=True)}
    return of_random_weights(architecture, chosen, seed, name="ofa-resnet50", subnets=rows, origin={"weights": ABOUT})


def six(architecture: Architecture) -> list[Subnet]:
    """Of the subnets that are the same in every stage, at full resolution, those nearest to even steps of MACs; cheapest first."""
    cost = {subnet: plans.macs(architecture.plan(architecture.space.parse(subnet)), architecture.shape) for subnet in uniform(architecture)}
    ordered = sorted(cost, key=lambda subnet: (cost[subnet], subnet))
    wanted = np.linspace(cost[ordered[0]], cost[ordered[-1]], len(ACCURACIES))
    return [min(ordered, key=lambda subnet: abs(cost[subnet] - macs)) for macs in wanted.tolist()]


def uniform(architecture: Architecture) -> list[Subnet]:
    """Every subnet whose depths, widths and expand ratios are the same throughout, at full resolution."""
    dimensions = architecture.space.dimensions
    choices = [d.values[-1:] if d.name == "resolution" else d.values for d in dimensions]
    alike = [{d.name: (value,) * d.count for d, value in zip(dimensions, values, strict=True)} for values in product(*choices)]
    return [architecture.space.subnet(settings) for settings in alike]


def images(shape: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
    """A varied pool of uint8 images (POOL, *shape): noise."""
    return np.random.default_rng(seed).integers(256, size=(POOL, *shape), dtype=np.uint8)
