from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

from superserve_cli.errors import BadOption
from superserve_cli.supernet import family
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.importers import ofa
from superserve_cli.supernet.layers import Conv, LayerSelect, Resize
from superserve_cli.supernet.ofa_resnet import OfaResNet50
from tests.supernet.ofa_nets import TINY_RESNET, checkpoint, published, shapes, some, supernet

FULL = OfaResNet50()
LARGEST = {"d": 2, "e": 0.35, "w": 2}
SMALLEST = {"d": 0, "e": 0.2, "w": 0}


def blocks(subnet: str, net: OfaResNet50 = FULL) -> list[int]:
    return [len(layer.kept) for layer in net.plan(net.space.parse(subnet)) if isinstance(layer, LayerSelect)]


@pytest.mark.parametrize(
    ("config", "gmacs", "mparams"),
    [
        (LARGEST, 7.492, 48.11),
        ({"d": [0, 2, 2, 2, 2], "e": 0.35, "w": 2}, 7.376, 48.10),
        ({"d": 1, "e": 0.25, "w": 2}, 3.776, 24.17),
        ({"d": [0, 1, 1, 2, 1], "e": 0.25, "w": 2}, 3.995, 25.29),
        ({"d": [2, 1, 1, 1, 1], "e": 0.25, "w": 1}, 2.550, 15.87),
        (SMALLEST, 0.962, 6.54),
    ],
)
def test_costs_are_those_of_the_published_subnets(config: dict[str, object], gmacs: float, mparams: float) -> None:
    plan = FULL.plan(FULL.space.parse(FULL.subnet(config)))
    own = 2 * sum(norm.channels for norm in plans.norms(plan))
    assert round(plans.macs(plan, FULL.shape) / 1e9, 3) == gmacs
    assert round((plans.params(plan) - own) / 1e6, 2) == mparams


def test_the_space_without_resolutions_has_two_and_a_half_trillion_subnets() -> None:
    stage = {base: sum(3 ** (base + more) for more in (0, 1, 2)) for base in (2, 4)}
    assert OfaResNet50(resolutions=()).space.size == 2 * 3**6 * stage[2] ** 3 * stage[4] == 2_458_914_796_962
    assert FULL.space.size == 4 * 2_458_914_796_962


@pytest.mark.parametrize(("config", "stages"), [(LARGEST, [4, 4, 6, 4]), ({**LARGEST, "d": 1}, [3, 3, 5, 3]), (SMALLEST, [2, 2, 4, 2])])
def test_a_depth_adds_that_many_blocks_to_every_stage(config: dict[str, object], stages: list[int]) -> None:
    stem, *found = blocks(FULL.subnet(config))
    assert found == stages
    assert sum(found) in (18, 14, 10)
    assert stem == (config["d"] == 2)


@pytest.mark.parametrize("width", [0, 1, 2])
def test_mid_widths_are_those_of_the_published_table(width: int) -> None:
    table = [
        [(32, 40, 56), (40, 56, 72), (48, 64, 88)],
        [(64, 88, 120), (80, 104, 144), (104, 128, 176)],
        [(136, 168, 232), (160, 208, 288), (208, 256, 360)],
        [(264, 336, 464), (328, 408, 576), (408, 512, 720)],
    ]
    outs = [(24, 24, 32), (40, 48, 64), (168, 208, 256), (336, 408, 512), (664, 816, 1024), (1328, 1640, 2048)]
    for i, expand in enumerate((0.2, 0.25, 0.35)):
        plan = FULL.plan(FULL.space.parse(FULL.subnet({"d": 2, "e": expand, "w": width})))
        wide = {layer.weight.slices[0].parameter: layer.weight.shape[0] for layer in plans.layers(plan) if isinstance(layer, Conv)}
        stem = [wide["input_stem.0.conv.conv.weight"], wide["input_stem.2.conv.conv.weight"]]
        stages = [wide[f"blocks.{first}.conv3.conv.conv.weight"] for first in (0, 4, 8, 14)]
        inner = [wide[f"blocks.{first}.conv1.conv.conv.weight"] for first in (0, 4, 8, 14)]
        assert [*stem, *stages] == [row[width] for row in outs]
        assert inner == [row[width][i] for row in table]


def test_the_checkpoint_has_368_tensors_of_61_norm_layers() -> None:
    tensors = checkpoint(FULL)
    norms = plans.norms(FULL.plan(FULL.space.parse(FULL.space.largest)))
    assert (len(tensors), len(norms), sum(norm.channels for norm in norms)) == (368, 61, 33_568)
    assert tensors["classifier.linear.linear.weight"].shape == (1000, 2048)


def test_parameters_are_those_of_the_published_checkpoint() -> None:
    assert shapes(checkpoint(FULL)) == published("ofa_resnet50")


def test_the_input_is_resized_first_unless_it_has_its_size_already() -> None:
    first = {side: FULL.plan(FULL.space.parse(FULL.subnet({**LARGEST, "r": side})))[0] for side in (128, 160, 192, 224)}
    assert [first[side] for side in (128, 160, 192)] == [Resize(128), Resize(160), Resize(192)]
    assert isinstance(first[224], Conv)


def test_an_id_is_short_and_says_nothing_about_blocks_that_do_not_run() -> None:
    assert FULL.space.largest == "s1-d2222-e222222222222222222-w222222-r224"
    one, other = ({"d": 0, "e": [0.2] * 2 + [inactive] * 2 + [0.2] * 14, "w": 0} for inactive in (0.2, 0.35))
    assert FULL.subnet(one) == FULL.subnet(other)
    with pytest.raises(BadOption, match="does not run at its depth"):
        FULL.space.parse("s1-d0222-e002222222222222222-w222222-r224")


def test_only_the_largest_of_the_first_depths_keeps_the_stem_block() -> None:
    ids = [FULL.subnet({**LARGEST, "d": [d, 2, 2, 2, 2]}) for d in (0, 1, 2)]
    assert [subnet[:2] for subnet in ids] == ["s0", "s0", "s1"]


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"ks": 7, "e": 6, "d": 4}, "has ks, e, d"),
        ({**LARGEST, "d": 3}, r"d\[0\] is 3"),
        ({**LARGEST, "e": [0.35] * 17}, "e has 17 values"),
        ({**LARGEST, "w": [2, 2, 2, 2, 2, 3]}, r"w\[5\] is 3"),
        ({**LARGEST, "r": 225}, r"r\[0\] is 225"),
        ({"d": 2}, "has d"),
    ],
)
def test_a_configuration_outside_the_space_is_refused(config: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        FULL.subnet(config)


@pytest.mark.parametrize(
    "settings",
    [
        {"shape": (3, 224)},
        {"classes": 0},
        {"expand": (0.35, 0.2)},
        {"depth": ()},
        {"widths": (256, 512)},
        {"resolutions": (128, 192)},
        {"resolutions": (224, 256)},
        {"shape": (3, 224, 192), "resolutions": (128, 224)},
    ],
)
def test_settings_that_make_no_network_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        family("ofa-resnet50")(**settings)


def test_an_architecture_is_made_again_from_its_plain_data() -> None:
    for net in (FULL, TINY_RESNET, OfaResNet50(shape=(1, 16, 16), classes=3)):
        assert family("ofa-resnet50")(**net.to_json()).space == net.space


def test_every_subnet_in_place_answers_bit_by_bit_as_its_extracted_copy() -> None:
    ids = some(TINY_RESNET)
    net = supernet("ofa-resnet50", TINY_RESNET, *ids)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for subnet in net.subnets:
            y = net.forward(x, subnet)
            assert y.shape == (3, 5)
            assert torch.equal(y, extract(net, subnet)(x))


def resnet(tensors: dict[str, Tensor], x: Tensor, stages: tuple[int, ...]) -> Tensor:
    """ResNet50-D written straight from the names of its parameters, independently of plans."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = tensors[f"{name}.conv.conv.weight"]
        mean, variance, scale, shift = (tensors[f"{name}.bn.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(F.conv2d(x, weight, None, stride, weight.shape[-1] // 2), mean, variance, scale, shift)

    x = F.relu(conv("input_stem.0", x, 2))
    x = x + F.relu(conv("input_stem.1.conv", x))
    x = F.max_pool2d(F.relu(conv("input_stem.2", x)), 3, 2, 1)
    block = 0
    for stage, depth in enumerate(stages):
        for place in range(depth):
            name, stride = f"blocks.{block}", 2 if stage and not place else 1
            y = F.relu(conv(f"{name}.conv1", x))
            y = conv(f"{name}.conv3", F.relu(conv(f"{name}.conv2", y, stride)))
            pooled = F.avg_pool2d(x, stride, stride, 0, ceil_mode=True)
            x = F.relu(y + (x if place else conv(f"{name}.downsample", pooled)))
            block += 1
    return F.linear(x.mean(3).mean(2), tensors["classifier.linear.linear.weight"], tensors["classifier.linear.linear.bias"])


@pytest.mark.parametrize("side", [32, 30])
def test_the_largest_subnet_computes_what_the_names_of_its_parameters_say(side: int, tmp_path: Path) -> None:
    architecture = replace(TINY_RESNET, shape=(3, side, side), resolutions=())
    tensors = checkpoint(architecture)
    net = ofa.supernet(tmp_path, tensors, "ofa-resnet50", architecture)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(net.forward(x, net.space.largest), resnet(tensors, x, (2, 2, 3, 2)), rtol=1e-4, atol=1e-4)
