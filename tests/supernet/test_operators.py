from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli import supernet
from superserve_cli.errors import BadOption
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.conv import ConvNet, channels
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.layers import WeightSlice

NET = supernet.load()
ids = st.sampled_from(NET.subnets)


@given(subnet=ids, rows=st.integers(1, 17))
def test_a_subnet_in_place_answers_bit_by_bit_as_its_extracted_copy(subnet: str, rows: int) -> None:
    x = torch.randn(rows, *NET.architecture.shape, generator=torch.Generator().manual_seed(rows))
    with torch.inference_mode():
        assert torch.equal(NET.forward(x, subnet), extract(NET, subnet)(x))


@given(first=ids, second=ids)
def test_running_one_subnet_leaves_no_trace_in_another(first: str, second: str) -> None:
    x = torch.ones(2, *NET.architecture.shape)
    with torch.inference_mode():
        before = NET.forward(x, first)
        NET.forward(x, second)
        assert torch.equal(NET.forward(x, first), before)


def test_programs_are_views_of_the_shared_weights() -> None:
    shared = {tensor.untyped_storage().data_ptr() for tensor in NET.weights.values()}
    for subnet in (NET.space.smallest, NET.space.largest):
        views = [used.of(NET.weights) for used in plans.slices(NET.plan(subnet))]
        assert {view.untyped_storage().data_ptr() for view in views} <= shared


def test_a_program_is_built_once() -> None:
    assert NET.program(NET.front[0]) is NET.program(NET.front[0])


@given(subnet=ids)
def test_a_subnet_uses_as_many_numbers_as_its_extracted_copy_holds(subnet: str) -> None:
    module = extract(NET, subnet)
    held = [*module.parameters(), *(b for name, b in module.named_buffers() if not name.endswith("num_batches_tracked"))]
    assert NET.params(subnet) == sum(tensor.numel() for tensor in held)


@given(subnet=ids)
def test_multiply_accumulates_are_those_that_a_forward_pass_does(subnet: str) -> None:
    counted = 0

    def count(module: torch.nn.Module, _: object, y: torch.Tensor) -> None:
        nonlocal counted
        places = y[0, 0].numel() if y.ndim == 4 else 1
        counted += places * prod(module.weight.shape)  # type: ignore[arg-type]

    module = extract(NET, subnet)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    module(torch.zeros(1, *NET.architecture.shape))
    assert NET.macs(subnet) == counted


def test_layer_select_runs_the_first_blocks_of_each_stage() -> None:
    names = NET.slice_map("d131-w1-e0.5")
    blocks = {".".join(name.split(".")[:2]) for name in names if name.startswith("stage")}
    assert blocks == {"stage0.block0", "stage1.block0", "stage1.block1", "stage1.block2", "stage2.block0"}


def test_a_weight_slice_is_a_view_of_any_ranges() -> None:
    weights = {"w": torch.arange(24.0).reshape(4, 6)}
    view = WeightSlice("w", (range(0, 4, 2), range(1, 3))).of(weights)
    assert view.tolist() == [[1, 2], [13, 14]]
    assert view.untyped_storage().data_ptr() == weights["w"].untyped_storage().data_ptr()


@pytest.mark.parametrize(("count", "rounded"), [(3, 8), (16.8, 16), (19.2, 24), (28.8, 32), (24, 24), (128, 128)])
def test_channels_are_rounded_to_multiples_of_eight_but_never_down_by_a_tenth(count: float, rounded: int) -> None:
    assert channels(count) == rounded


def test_the_built_in_space_has_at_most_64_subnets() -> None:
    assert NET.space.size <= 64


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"depth": (3, 1)}, "depth is"),
        ({"width": ()}, "width is"),
        ({"expand": (0.0, 0.5)}, "expand is"),
        ({"widths": (8, 16)}, "widths is"),
        ({"classes": 0}, "a count that is none"),
        ({"shape": (1, 18, 18)}, "images of 18x18"),
    ],
)
def test_settings_that_make_no_network_are_refused(settings: dict[str, tuple[int, ...]], complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        ConvNet(**{"shape": (1, 16, 16), "classes": 10, **settings})  # type: ignore[arg-type]
