from functools import cache

import numpy as np
import pytest

from superserve_cli.search.genes import Genes
from superserve_cli.search.layer import work, works
from superserve_cli.search.parts import Cost, Parts
from superserve_cli.supernet import Dimension, Space, family
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.families import Architecture
from superserve_cli.supernet.layers import RELU, Conv, Join, Linear, WeightSlice

SMALL = {"shape": (3, 32, 32), "classes": 5}
ARCHITECTURES = {
    "conv": family("conv")(shape=(1, 8, 8), classes=3, depth=(1, 2), expand=(0.25, 0.5)),
    "ofa-resnet50": family("ofa-resnet50")(**SMALL, stem=16, widths=(16, 32, 48, 64), resolutions=(16, 32)),
    "ofa-mbv3": family("ofa-mbv3")(**SMALL, widths=(8, 8, 8, 16, 16, 24, 24, 32, 40), resolutions=(16, 32)),
}


@cache
def parts_of(name: str) -> Parts:
    return Parts(ARCHITECTURES[name], Genes(ARCHITECTURES[name].space))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_a_subnet_costs_by_its_parts_is_what_its_plan_costs(name: str) -> None:
    architecture: Architecture = ARCHITECTURES[name]
    parts = parts_of(name)
    genes = parts.genes
    rows = np.concatenate((genes.extremes, genes.sample(20, np.random.default_rng(7))))
    macs, moved = Cost(parts, lambda work: work.macs)(rows), Cost(parts, lambda work: work.moved)(rows)
    for subnet, by_parts, bytes_moved in zip(genes.decode(rows), macs, moved, strict=True):
        plan = architecture.plan(architecture.space.parse(subnet))
        assert plans.macs(plan, architecture.shape) == by_parts
        assert sum(work(layer, shape).moved for layer, shape in works(plan, architecture.shape)) == bytes_moved


def test_a_block_depends_on_few_genes() -> None:
    parts = parts_of("ofa-resnet50")
    assert max(map(len, parts.genes_of)) <= 5 < len(parts.genes.counts)


def test_a_plan_is_built_once_for_each_new_combination_and_not_for_each_subnet() -> None:
    architecture = ARCHITECTURES["ofa-resnet50"]
    built = []

    class Counting:
        space, shape = architecture.space, architecture.shape

        def plan(self, point):  # type: ignore[no-untyped-def]
            built.append(point.id)
            return architecture.plan(point)

    parts = Parts(Counting(), Genes(architecture.space))  # type: ignore[arg-type]
    cost, rng = Cost(parts, lambda work: work.macs), np.random.default_rng(0)
    cost(parts.genes.sample(3000, rng))
    before = len(built)
    cost(parts.genes.sample(3000, rng))
    assert len(built) - before < 30
    assert len(set(built)) == len(built)


def test_genes_that_matter_only_together_are_found() -> None:
    space = Space((Dimension("a", "alone", (1, 2, 3), 8),))

    class Conspiracy:
        """A layer that is wider where three genes are at their middle value."""

        def __init__(self) -> None:
            self.space, self.shape = space, (8,)

        def plan(self, point):  # type: ignore[no-untyped-def]
            width = 16 if point["alone"][2:5] == (2, 2, 2) else 8
            return (Linear(WeightSlice.prefix("w", width, 8)),)

    parts = Parts(Conspiracy(), Genes(space))  # type: ignore[arg-type]
    assert [genes.tolist() for genes in parts.genes_of] == [[2, 3, 4]]


def test_layers_of_equal_numbers_are_one_entry_whatever_their_parameters_are_called() -> None:
    def conv(name: str, out: int, stride: int = 1) -> Conv:
        return Conv(WeightSlice.prefix(name, out, 8, 3, 3), stride)

    one = work(conv("a", 16), (8, 10, 10))
    assert one.key == work(conv("b", 16), (8, 10, 10)).key
    others = [work(conv("a", 24), (8, 10, 10)), work(conv("a", 16, 2), (8, 10, 10)), work(conv("a", 16), (8, 12, 12))]
    assert len({one.key, *(other.key for other in others)}) == 4
    assert one.kind == others[0].kind == others[2].kind != others[1].kind
    assert (one.macs, one.held) == (8 * 16 * 9 * 100, 4 * 8 * 16 * 9)


def test_the_sum_that_joins_branches_is_a_layer_of_its_own() -> None:
    body = (Conv(WeightSlice.prefix("a", 8, 8, 1, 1)), RELU)
    found = list(works((Join("add", (body, ())),), (8, 4, 4)))
    assert [work(layer, shape).key for layer, shape in found[1:]] == ["relu on 8x4x4", "add of 2 on 8x4x4"]
