"""SuperNets of any family with random weights, and random statistics of some of their subnets."""

from typing import Any, Final

import numpy as np
import torch

from superserve_cli.supernet import Statistics, SuperNet, family
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.supernet import channels_last

SMALL: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "conv": ("conv", {"shape": (1, 8, 8), "classes": 3, "widths": (8, 16, 16)}),
    "ofa-resnet50": (
        "ofa-resnet50",
        {"shape": (3, 32, 32), "classes": 7, "blocks": (1, 1, 1, 1), "stem": 16, "widths": (16, 24, 32, 48), "resolutions": (24, 32)},
    ),
    "ofa-mbv3": ("ofa-mbv3", {"shape": (3, 32, 32), "classes": 7, "widths": (8, 8, 16, 16, 24, 24, 32, 48, 64), "resolutions": (24, 32)}),
    "transformer": ("transformer", {"shape": (1, 16, 16), "classes": 5}),
    "dynabert": ("dynabert", {"shape": (2, 12), "hidden": 48, "heads": 4, "ffn": 64, "layers": 4, "vocabulary": 50, "positions": 16}),
    "reranker": ("layerwise", {"shape": (9,), "classes": 1, "key_heads": 2}),
    "shared head": ("layerwise", {"shape": (9,), "classes": 3, "head": "shared"}),
    "embedder": (
        "layerwise",
        {"shape": (2, 9), "classes": 48, "kind": "encoder", "head": "none", "pool": "mean", "unit_length": True},
    ),
}
"""A small member of each family."""


def drawn(name: str, settings: dict[str, Any], count: int = 30, seed: int = 0) -> SuperNet:
    """A SuperNet whose front is its smallest and its largest subnet and up to `count` random ones."""
    architecture, random = family(name)(**settings), torch.Generator().manual_seed(seed)
    space = architecture.space
    front = list(dict.fromkeys((space.smallest, space.largest, *space.sample(count, np.random.default_rng(seed)))))
    shapes: dict[str, tuple[int, ...]] = {}
    for subnet in front:
        for used in plans.slices(architecture.plan(space.parse(subnet))):
            ends = [own[-1] + 1 for own in used.ranges]
            shapes[used.parameter] = tuple(map(max, shapes.get(used.parameter, (0,) * len(ends)), ends))
    weights = {parameter: _weight(shape, random) for parameter, shape in shapes.items()}
    statistics = {}
    for subnet in front:
        if channels := sum(norm.channels for norm in plans.norms(architecture.plan(space.parse(subnet)))):
            statistics[subnet] = Statistics(torch.randn(channels, generator=random) / 10, 1 + torch.rand(channels, generator=random))
    return SuperNet(name, architecture, channels_last(weights), statistics, {"name": name, "front": front})


def _weight(shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    if len(shape) == 1:
        return 1 + torch.randn(shape, generator=random) / 10
    return torch.randn(shape, generator=random) * (2 / np.prod(shape[1:])) ** 0.5
