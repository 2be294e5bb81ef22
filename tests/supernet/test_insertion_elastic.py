"""Stages, and the space that a declaration spans over them."""

import pytest
import torch
from torch import Tensor, nn

from superserve_cli.supernet import Elastic, SuperNet, subnetact
from superserve_cli.supernet.insertion import stages
from superserve_cli.supernet.layers import LayerSelect
from tests.supernet.own_modules import Bottleneck, MobileNet, Reader, ResNet, Viewer

IMAGES = torch.zeros(2, 3, 16, 16)
WORDS = torch.zeros(2, 9, dtype=torch.int64)


def resnet(elastic: Elastic) -> SuperNet:
    return subnetact(ResNet().eval(), elastic, IMAGES)


def kept(net: SuperNet, subnet: str) -> list[tuple[int, ...]]:
    return [layer.kept for layer in net.plan(subnet) if isinstance(layer, LayerSelect)]


def test_stages_are_found_by_the_class_of_their_blocks() -> None:
    assert list(stages.found(ResNet())) == ["layer1", "layer2"]
    assert list(stages.found(Reader())) == ["encoder.layers"]
    assert stages.found(Viewer()) == {"blocks": ("blocks.0", "blocks.1", "blocks.2")}
    assert stages.found(MobileNet()) == {}


def test_some_children_of_a_container_may_be_declared_a_stage_and_an_encoder_by_its_own_name() -> None:
    assert stages.declared(MobileNet(), ["features[1:3]"]) == {"features[1:3]": ("features.1", "features.2")}
    assert stages.declared(Reader(layers=2), ["encoder"]) == {"encoder": ("encoder.layers.0", "encoder.layers.1")}


class Stem(nn.Module):
    """Two blocks without a shortcut before a stage of two with one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Plain(3), Plain(4))
        self.stage = nn.Sequential(Bottleneck(4, 4, 4), Bottleneck(4, 4, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.stage(self.stem(x)).mean((2, 3)))
        return found


class Plain(nn.Sequential):
    def __init__(self, before: int) -> None:
        super().__init__(nn.Conv2d(before, 4, 3, padding=1), nn.ReLU())


def test_only_residual_blocks_make_a_stage_that_nobody_declared() -> None:
    net = subnetact(Stem().eval(), Elastic(depth=(1,)), IMAGES)
    assert net.architecture.to_json()["elastic"]["stages"] == ("stage",)
    declared = subnetact(Stem().eval(), Elastic(stages=("stem", "stage"), depth=(1,)), IMAGES)
    assert kept(declared, declared.space.smallest) == [(0,), (0,)]


def test_the_whole_module_always_belongs_to_the_space() -> None:
    net = resnet(Elastic(depth=(1,), width=(0.5,)))
    assert kept(net, net.space.largest) == [(0, 1), (0, 1, 2)]
    assert net.space.largest == "d2-d3-w11111"


def test_stages_with_the_same_choice_of_depths_share_a_dimension() -> None:
    net = subnetact(ResNet(((8, 8), (12, 12))).eval(), Elastic(depth=(1,), width=None), IMAGES)
    assert list(net.space.enumerate()) == ["d11", "d12", "d21", "d22"]


def test_fractions_of_depth_are_rounded_up_in_each_stage() -> None:
    net = resnet(Elastic(depth=(0.5,), width=None))
    assert list(net.space.enumerate()) == ["d1-d2", "d1-d3", "d2-d2", "d2-d3"]


@pytest.mark.parametrize(
    ("per", "largest", "subnets"), [("net", "d2-d3-w1", 12), ("stage", "d2-d3-w11", 24), ("block", "d2-d3-w11111", 84)]
)
def test_widths_belong_to_blocks_stages_or_the_whole_net(per: str, largest: str, subnets: int) -> None:
    net = resnet(Elastic(depth=(1, 2), per=per))  # type: ignore[arg-type]
    assert net.space.largest == largest
    assert net.space.size == len(list(net.space.enumerate())) == subnets


def test_blocks_that_do_not_run_have_no_width_of_their_own() -> None:
    net = resnet(Elastic(depth=(1, 2)))
    assert "d1-d1-w10100" in net.space
    assert "d1-d1-w11100" not in net.space


def test_blocks_that_change_the_shape_always_run() -> None:
    net = subnetact(MobileNet().eval(), Elastic(stages=("features[1:4]",), depth=(1,), rule="every-other", width=None), IMAGES)
    assert [kept(net, subnet) for subnet in net.space.enumerate()] == [[(0,)], [(0, 1, 2)]]
    net = subnetact(MobileNet().eval(), Elastic(stages=("features[1:4]",), depth=(2,), width=None), IMAGES)
    assert kept(net, net.space.smallest) == [(0, 1)]


@pytest.mark.parametrize(("depth", "blocks"), [(3, (0, 2, 4)), (4, (0, 1, 3, 4))])
def test_transformers_keep_blocks_evenly_spread(depth: int, blocks: tuple[int, ...]) -> None:
    net = subnetact(Reader(layers=6).eval(), Elastic(depth=(depth,), width=None), WORDS)
    assert kept(net, net.space.smallest) == [blocks]


def test_plans_of_all_subnets_have_the_same_tree() -> None:
    net = resnet(Elastic(depth=(1, 2)))
    shapes = {tuple(len(layer.blocks) for layer in net.plan(s) if isinstance(layer, LayerSelect)) for s in net.space.enumerate()}
    assert shapes == {(2, 3)}
