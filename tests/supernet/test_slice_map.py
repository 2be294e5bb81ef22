from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from superserve_cli import supernet
from superserve_cli.supernet import Dimension, Point, Space, Statistics, SuperNet, boxes
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.boxes import Box
from superserve_cli.supernet.extract import tensors
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


SMALL: Final[dict[str, dict[str, Any]]] = {
    "conv": {"shape": (1, 8, 8), "classes": 3, "widths": (8, 16, 16), "depth": (1, 2), "width": (0.5, 1.0), "expand": (0.5, 1.0)},
}
NETS: Final = {name: supernet.family(name)(**SMALL[name]) for name in SMALL} | {"joint": Joint()}
rows = st.sampled_from(sorted(NETS))
seeds = st.integers(0, 2**32 - 1)


def some(name: str, seed: int) -> tuple[SuperNet, str]:
    """A SuperNet with random weights, and a random subnet of it, with random statistics."""
    architecture, rng, draw = NETS[name], np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    largest = architecture.plan(architecture.space.parse(architecture.space.largest))
    shapes = {
        parameter: tuple(max(r.stop for box in found for r in (box[i],)) for i in range(len(found[0])))
        for parameter, found in plans.uses(largest).items()
    }
    subnet = architecture.space.sample(1, rng)[0]
    channels = sum(norm.channels for norm in plans.norms(architecture.plan(architecture.space.parse(subnet))))
    statistics = {subnet: Statistics(torch.rand(channels, generator=draw), torch.rand(channels, generator=draw) + 1)} if channels else {}
    return SuperNet(name, architecture, {n: torch.randn(shape, generator=draw) for n, shape in shapes.items()}, statistics), subnet


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
    for subnet in {net.space.largest, net.space.smallest, *net.space.sample(20, np.random.default_rng(0))}:
        for parameter, found in net.slice_map(subnet).items():
            union[parameter] += touched(net.weights[parameter], found)
    assert all(times.all() for times in union.values())


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


@given(name=rows, seed=seeds)
def test_indexing_the_weights_by_the_slice_map_gives_the_extracted_tensors(name: str, seed: int) -> None:
    net, subnet = some(name, seed)
    extracted = tensors(net, subnet)
    for parameter, found in net.slice_map(subnet).items():
        indices = [[i for r in ranges for i in r] for ranges in boxes.grid(found)]
        assert np.array_equal(net.weights[parameter].numpy()[np.ix_(*indices)], extracted[parameter].numpy())


@given(name=rows, seed=seeds)
@settings(max_examples=30)
def test_a_subnet_runs_alike_on_weights_that_are_zero_outside_its_slices(name: str, seed: int) -> None:
    net, subnet = some(name, seed)
    scattered = {parameter: torch.full_like(weight, 0) for parameter, weight in net.weights.items()}
    for parameter, found in net.slice_map(subnet).items():
        for box in found:
            place = np.ix_(*map(list, box))
            scattered[parameter].numpy()[place] = net.weights[parameter].numpy()[place]
    alone = SuperNet(net.family, net.architecture, scattered, net.statistics)
    assert all(torch.equal(tensors(alone, subnet)[name], each) for name, each in tensors(net, subnet).items())
    assert net.slice_map(subnet) == alone.slice_map(subnet)


def test_the_rows_of_queries_keys_and_values_are_three_boxes_and_one_tensor() -> None:
    net, _ = some("joint", 0)
    assert net.slice_map("h1")["in_proj"] == ((range(4), range(12)), (range(12, 16), range(12)), (range(24, 28), range(12)))
    assert tensors(net, "h1")["in_proj"].shape == (12, 12)


def test_a_table_that_is_also_the_head_is_counted_once() -> None:
    net, _ = some("joint", 0)
    assert net.params("h3") == WORDS * WIDTH + 4 * WIDTH * WIDTH
