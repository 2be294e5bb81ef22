"""Small SuperNets with random weights, of images and of words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from superserve_cli.supernet.conv import ConvNet
from superserve_cli.supernet.dynabert import DynaBert
from superserve_cli.supernet.families import Architecture, parameters
from superserve_cli.supernet.layerwise import Layerwise
from superserve_cli.supernet.plan import norms
from superserve_cli.supernet.supernet import Statistics, SuperNet, channels_last

IMAGES = ConvNet((1, 8, 8), 3, widths=(16, 16, 16), depth=(1, 2), width=(0.5, 1.0), expand=(0.5,))
WORDS = Layerwise((6,), 3, kind="encoder", words=20, width=8, inner=16, layers=3, heads=2, key_heads=2, pool="first")
PAIRS = DynaBert((2, 6), 3, hidden=8, heads=2, ffn=16, layers=2, vocabulary=20, positions=8, depth_mult=(0.5, 1.0), width_mult=(0.5, 1.0))
SOME_IMAGES = ("d111-w0.5-e0.5", "d211-w1-e0.5", "d222-w1-e0.5")


def random_net(family: str, architecture: Architecture, calibrated: tuple[str, ...] = (), **metadata: Any) -> SuperNet:
    """A SuperNet of random weights, in which some subnets have (random) statistics."""
    rng = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=rng) / 4 for name, shape in parameters(architecture).items()}
    net = SuperNet(family, architecture, channels_last(weights), {}, metadata)
    return replace(net, statistics={subnet: _statistics(net, subnet, rng) for subnet in calibrated})


def images(**metadata: Any) -> SuperNet:
    """A SuperNet of images with three calibrated subnets."""
    return random_net("conv", IMAGES, SOME_IMAGES, name="images", **metadata)


def words(**metadata: Any) -> SuperNet:
    """A SuperNet of words, which needs no statistics."""
    return random_net("layerwise", WORDS, name="words", **metadata)


def pairs(**metadata: Any) -> SuperNet:
    """A SuperNet of words and of the sentences that they belong to, as BERT reads them."""
    return random_net("dynabert", PAIRS, name="pairs", **metadata)


def declared(accuracies: Mapping[str, float]) -> dict[str, Any]:
    """The metadata of subnets whose accuracies somebody measured."""
    return {subnet: {"test": accuracy} for subnet, accuracy in accuracies.items()}


def predicted(accuracy: float, *latencies_ms: float, batch_size: int = 1, subnets: tuple[str, ...] = SOME_IMAGES) -> dict[str, Any]:
    """The metadata that a search leaves: what it foretells of some subnets."""
    rows = {subnet: {"accuracy": accuracy, "latency_ms": ms} for subnet, ms in zip(subnets, latencies_ms, strict=True)}
    about = {"device": "cpu", "threads": 1, "accuracy_from": "a table", "scale": 1.0}
    return {**about, "batch_size": batch_size, "subnets": rows}


def _statistics(net: SuperNet, subnet: str, rng: torch.Generator) -> Statistics:
    channels = sum(norm.channels for norm in norms(net.plan(subnet)))
    return Statistics(torch.randn(channels, generator=rng) / 4, torch.rand(channels, generator=rng) + 0.5)
