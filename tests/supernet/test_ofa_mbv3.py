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
from superserve_cli.supernet.layers import Conv, LayerSelect, TransformedKernel, WeightSlice
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from tests.supernet.ofa_nets import TINY_MBV3, checkpoint, published, shapes, some, supernet

FULL = OfaMbv3()


@pytest.mark.parametrize(
    ("config", "params"),
    [
        ({"ks": 7, "e": 6, "d": 4}, 7_664_760),
        ({"ks": 5, "e": 4, "d": 3}, 4_551_792),
        ({"ks": 3, "e": 3, "d": 2}, 3_410_792),
    ],
)
def test_an_extracted_subnet_has_as_many_parameters_as_published(config: dict[str, object], params: int) -> None:
    subnet = FULL.subnet(config)
    layers = list(plans.layers(FULL.plan(FULL.space.parse(subnet))))
    held = [torch.Size(weight.shape).numel() for layer in layers for weight in plans.weights(layer)]
    assert sum(held) == params


@pytest.mark.parametrize(("width_mult", "params"), [(1.0, 7_678_880), (1.2, 10_715_752)])
def test_the_checkpoint_has_475_tensors(width_mult: float, params: int) -> None:
    net = OfaMbv3(width_mult=width_mult)
    tensors = checkpoint(net)
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert len(tensors) == 475
    assert sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(buffers)) == params
    assert len(plans.norms(net.plan(net.space.parse(net.space.largest)))) == 64


@pytest.mark.parametrize("width_mult", [1.0, 1.2])
def test_parameters_are_those_of_the_published_checkpoint(width_mult: float) -> None:
    assert shapes(checkpoint(OfaMbv3(width_mult=width_mult))) == published(f"ofa_mbv3_w{width_mult}")


def test_the_space_without_resolutions_has_two_times_ten_to_the_nineteenth_subnets() -> None:
    stage = sum(9**depth for depth in (2, 3, 4))
    assert OfaMbv3(resolutions=()).space.size == stage**5 == pytest.approx(2.18e19, rel=2e-3)


def test_widths_are_those_of_the_published_table() -> None:
    tensors = shapes(checkpoint(FULL))
    inner = [tensors[f"blocks.{i}.conv.point_linear.conv.conv.weight"][1] for i in range(1, 21)]
    assert inner == [96, *[144] * 4, *[240] * 4, *[480] * 4, *[672] * 4, *[960] * 3]
    squeezed = {name: shape[0] for name, shape in tensors.items() if name.endswith("reduce.weight")}
    assert {int(name.split(".")[1]) for name in squeezed} == {*range(5, 9), *range(13, 21)}
    assert sorted(set(squeezed.values())) == [40, 64, 120, 168, 240]


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"ks": 3, "e": 0.2, "d": 2}, r"e\[0\] is 0.2"),
        ({"d": 2, "e": 0.35, "w": 2}, "has d, e, w"),
        ({"ks": [7] * 21, "e": 6, "d": 4}, "ks has 21 values"),
    ],
)
def test_a_configuration_outside_the_space_is_refused(config: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        FULL.subnet(config)


def test_entries_that_say_nothing_do_no_harm() -> None:
    config = {"ks": 5, "e": [4] * 20, "d": [3] * 5}
    assert FULL.subnet({"wid": None, **config, "r": [160]}) == "d33333-k55535553555355535553-e44434443444344434443-r160"


@pytest.mark.parametrize("settings", [{"widths": (16,)}, {"kernel": (3, 4)}, {"classes": -1}, {"expand": (6, 3)}])
def test_settings_that_make_no_network_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        family("ofa-mbv3")(**settings)


def test_an_architecture_is_made_again_from_its_plain_data() -> None:
    for net in (FULL, TINY_MBV3, OfaMbv3(shape=(1, 16, 16), classes=3, width_mult=1.2)):
        assert family("ofa-mbv3")(**net.to_json()).space == net.space


def test_every_subnet_in_place_answers_bit_by_bit_as_its_extracted_copy() -> None:
    net = supernet("ofa-mbv3", TINY_MBV3, *some(TINY_MBV3))
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for subnet in net.subnets:
            y = net.forward(x, subnet)
            assert y.shape == (3, 5)
            assert torch.equal(y, extract(net, subnet)(x))


def test_smaller_kernels_come_from_the_centre_of_larger_ones_by_the_matrices_in_turn() -> None:
    net = supernet("ofa-mbv3", TINY_MBV3)
    name = "blocks.1.conv.depth_conv.conv"
    full, to5, to3 = (net.weights[f"{name}.{part}"] for part in ("conv.weight", "7to5_matrix", "5to3_matrix"))
    for side in (7, 5, 3):
        plan = net.plan(TINY_MBV3.subnet({"ks": side, "e": 2, "d": 2}))
        stage = next(layer for layer in plan if isinstance(layer, LayerSelect))
        kernel = next(layer.weight for layer in plans.layers(stage.blocks[0]) if isinstance(layer, Conv) and layer.groups > 1)
        assert isinstance(kernel, WeightSlice if side == 7 else TransformedKernel)
        for channel, made in enumerate(kernel.of(net.weights)[:, 0]):
            expected = full[channel, 0]
            if side < 7:
                expected = (to5 @ expected[1:6, 1:6].reshape(25)).reshape(5, 5)
            if side < 5:
                expected = (to3 @ expected[1:4, 1:4].reshape(9)).reshape(3, 3)
            assert torch.allclose(made, expected, rtol=1e-4, atol=1e-5)


def mobilenet(tensors: dict[str, Tensor], x: Tensor, depth: int) -> Tensor:
    """MobileNetV3 written straight from the names of its parameters, independently of plans."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = tensors[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, tensors.get(f"{name}.bias"), stride, weight.shape[-1] // 2, groups=groups)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance, scale, shift = (tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, variance, scale, shift)

    def swish(x: Tensor) -> Tensor:
        return x * F.relu6(x + 3) / 6

    x = swish(norm("first_conv.bn", conv("first_conv.conv", x, 2)))
    first = "blocks.0.conv"
    y = F.relu(norm(f"{first}.depth_conv.bn", conv(f"{first}.depth_conv.conv", x)))
    x = x + norm(f"{first}.point_linear.bn", conv(f"{first}.point_linear.conv", y))
    strides, squeezed = (2, 2, 2, 1, 2), (1, 3, 4)
    for stage, stride in enumerate(strides):
        act = torch.relu if stage < 2 else swish
        for place in range(depth):
            name = f"blocks.{1 + stage * depth + place}.conv"
            y = act(norm(f"{name}.inverted_bottleneck.bn.bn", conv(f"{name}.inverted_bottleneck.conv.conv", x)))
            y = act(norm(f"{name}.depth_conv.bn.bn", conv(f"{name}.depth_conv.conv.conv", y, 1 if place else stride)))
            if stage in squeezed:
                fc = f"{name}.depth_conv.se.fc"
                y = y * (F.relu6(conv(f"{fc}.expand", F.relu(conv(f"{fc}.reduce", y.mean((2, 3), keepdim=True)))) + 3) / 6)
            y = norm(f"{name}.point_linear.bn.bn", conv(f"{name}.point_linear.conv.conv", y))
            x = y + x if y.shape == x.shape else y
    x = swish(norm("final_expand_layer.bn", conv("final_expand_layer.conv", x))).mean((2, 3), keepdim=True)
    x = swish(conv("feature_mix_layer.conv", x)).flatten(1)
    return F.linear(x, tensors["classifier.linear.weight"], tensors["classifier.linear.bias"])


def test_the_largest_subnet_computes_what_the_names_of_its_parameters_say(tmp_path: Path) -> None:
    tensors = checkpoint(TINY_MBV3)
    net = ofa.supernet(tmp_path, tensors, "ofa-mbv3", TINY_MBV3)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(net.forward(x, net.space.largest), mobilenet(tensors, x, 2), rtol=1e-4, atol=1e-4)
