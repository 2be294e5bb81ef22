from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from superserve_cli import supernet
from superserve_cli.supernet import Dimension, Point, Space, Statistics, SuperNet, boxes
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.boxes import Box
from superserve_cli.supernet.extract import tensors
from superserve_cli.supernet.families import Architecture, parameters
from superserve_cli.supernet.layers import Attention, Embed, Linear, Plan, TokenPool, WeightSlice

WIDTH, HEADS, WORDS = 12, 3, 7


@dataclass(frozen=True)
class Joint:
    """Attention whose queries, keys and values are rows of one matrix, and a head that is the table of words: uses that overlap."""

    shape: tuple[int, ...] = (5,)
    classes: int = WORDS
    dtype: str = "int64"

    @property
    def space(self) -> Space:
        return Space((Dimension("h", "heads", (1, 2, 3)),))

    def plan(self, point: Point) -> Plan:
        heads = int(point["heads"][0])
        rows = heads * WIDTH // HEADS

        def project(part: int) -> Linear:
            return Linear(WeightSlice("in_proj", (range(part * WIDTH, part * WIDTH + rows), range(WIDTH))))

        attention = Attention(project(0), project(1), project(2), Linear(WeightSlice.prefix("out", WIDTH, rows)), heads, heads)
        words = WeightSlice.prefix("words", WORDS, WIDTH)
        return (Embed(words), attention, TokenPool("mean"), Linear(words))

    def to_json(self) -> dict[str, Any]:
        return {}


class Reader(nn.Module):
    """A transformer encoder of PyTorch's, whose queries, keys and values are rows of one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, words: Tensor) -> Any:
        return self.head(self.encoder(self.words(words)).mean(1))


def inserted() -> Architecture:
    return supernet.subnetact(Reader().eval(), supernet.Elastic(depth=(1, 2)), torch.ones(2, 5, dtype=torch.int64)).architecture


SMALL: Final[dict[str, dict[str, Any]]] = {
    "conv": {"shape": (1, 8, 8), "classes": 3, "widths": (8, 16, 16), "depth": (1, 2), "width": (0.5, 1.0), "expand": (0.5, 1.0)},
    "transformer": {"shape": (1, 8, 8), "classes": 3, "hidden": 8, "heads": 2, "ffn": 12, "depth": (1, 2, 3)},
    "ofa-resnet50": {
        "shape": (3, 64, 64),
        "classes": 3,
        "resolutions": (32, 64),
        "blocks": (1, 1, 1, 1),
        "stem": 8,
        "widths": (16, 24, 32, 40),
    },
    "ofa-mbv3": {"shape": (3, 64, 64), "classes": 3, "resolutions": (32, 64), "widths": (8, 8, 8, 8, 16, 16, 24, 24, 32)},
    "dynabert": {"shape": (2, 6), "classes": 3, "hidden": 8, "heads": 4, "ffn": 12, "layers": 4, "vocabulary": 9, "positions": 6},
    "layerwise": {"shape": (6,), "classes": 3, "words": 9, "width": 8, "inner": 12, "layers": 4, "heads": 2, "key_heads": 1},
}
NETS: Final[dict[str, Architecture]] = {name: supernet.family(name)(**SMALL[name]) for name in SMALL} | {
    "joint": Joint(),
    "module": inserted(),
}
rows = st.sampled_from(sorted(NETS))
seeds = st.integers(0, 2**32 - 1)


def some(name: str, seed: int) -> tuple[SuperNet, str]:
    """A SuperNet with random weights, and a random subnet of it, with random statistics."""
    architecture, rng, draw = NETS[name], np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    subnet = architecture.space.sample(1, rng)[0]
    channels = sum(norm.channels for norm in plans.norms(architecture.plan(architecture.space.parse(subnet))))
    statistics = {subnet: Statistics(torch.rand(channels, generator=draw), torch.rand(channels, generator=draw) + 1)} if channels else {}
    weights = {parameter: torch.randn(shape, generator=draw) for parameter, shape in parameters(architecture).items()}
    return SuperNet(name, architecture, weights, statistics), subnet


def touched(weight: Tensor, found: tuple[Box, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How often each number of a parameter is named."""
    times = np.zeros(tuple(weight.shape), np.int64)
    for box in found:
        times[np.ix_(*map(list, box))] += 1
    return times


@pytest.mark.parametrize("name", sorted(NETS))
def test_all_subnets_together_use_all_of_every_parameter(name: str) -> None:
    net, _ = some(name, 0)
    union = {parameter: touched(weight, ()) for parameter, weight in net.weights.items()}
    drawn = net.space.sample(50, np.random.default_rng(0))
    for subnet in net.space.enumerate() if net.space.size < len(drawn) else {net.space.largest, *drawn}:
        for parameter, found in net.slice_map(subnet).items():
            union[parameter] += touched(net.weights[parameter], found)
    assert all(times.all() for times in union.values())


@settings(max_examples=40)
@given(name=rows, seed=seeds)
def test_no_number_is_named_twice_and_every_use_is_named(name: str, seed: int) -> None:
    net, subnet = some(name, seed)
    found = net.slice_map(subnet)
    times = {parameter: touched(net.weights[parameter], each) for parameter, each in found.items()}
    assert all((each <= 1).all() for each in times.values())
    for used in plans.slices(net.plan(subnet)):
        assert times[used.parameter][np.ix_(*map(list, used.ranges))].all()
    own = 2 * sum(norm.channels for norm in plans.norms(net.plan(subnet)))
    assert net.params(subnet) == sum(each.sum() for each in times.values()) + own


@settings(max_examples=40)
@given(name=rows, seed=seeds)
def test_indexing_the_weights_by_the_slice_map_gives_the_extracted_tensors(name: str, seed: int) -> None:
    net, subnet = some(name, seed)
    extracted = tensors(net, subnet)
    for parameter, found in net.slice_map(subnet).items():
        indices = [[i for r in ranges for i in r] for ranges in boxes.grid(found)]
        assert np.array_equal(net.weights[parameter].numpy()[np.ix_(*indices)], extracted[parameter].numpy())


@settings(max_examples=40)
@given(name=rows, seed=seeds)
def test_a_subnet_is_the_same_over_weights_that_are_zero_outside_its_slices(name: str, seed: int) -> None:
    net, subnet = some(name, seed)
    scattered = {parameter: torch.full_like(weight, 0) for parameter, weight in net.weights.items()}
    for parameter, found in net.slice_map(subnet).items():
        for box in found:
            place = np.ix_(*map(list, box))
            scattered[parameter].numpy()[place] = net.weights[parameter].numpy()[place]
    alone = SuperNet(net.family, net.architecture, scattered, net.statistics)
    held = tensors(net, subnet)
    assert all(torch.equal(again, held[parameter]) for parameter, again in tensors(alone, subnet).items())


def test_the_rows_of_queries_keys_and_values_are_three_boxes_and_one_tensor() -> None:
    net, _ = some("joint", 0)
    assert net.slice_map("h1")["in_proj"] == ((range(4), range(12)), (range(12, 16), range(12)), (range(24, 28), range(12)))
    assert tensors(net, "h1")["in_proj"].shape == (12, 12)


def test_a_table_that_is_also_the_head_is_counted_once() -> None:
    net, _ = some("joint", 0)
    assert net.params("h3") == WORDS * WIDTH + 4 * WIDTH * WIDTH
