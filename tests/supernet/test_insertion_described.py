import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli import supernet
from superserve_cli.errors import BadFile, BadOption, SuperserveError
from superserve_cli.supernet.insertion.described import plan_from_json, plan_to_json
from superserve_cli.supernet.layers import (
    Activation,
    Attention,
    Conv,
    Embed,
    GlobalMean,
    Join,
    Layer,
    LayerSelect,
    Linear,
    MaxPool,
    Norm,
    Plan,
    RmsNorm,
    Scale,
    TokenPool,
    TransformedKernel,
    WeightSlice,
)
from tests.supernet.own_modules import ResNet

names = st.sampled_from(["fc.weight", "layer1.0.conv1.weight", "a[b", "Ω"])
ranges = st.builds(lambda a, n, step: range(a, a + n, step), st.integers(0, 5), st.integers(1, 9), st.integers(1, 3))
slices = st.builds(WeightSlice, names, st.lists(ranges, min_size=1, max_size=4).map(tuple))
linears = st.builds(Linear, slices, st.none() | slices)
simple: st.SearchStrategy[Layer] = st.one_of(
    st.builds(Conv, slices | st.builds(TransformedKernel, slices, st.tuples(slices)), st.integers(1, 3), st.none() | slices),
    st.builds(Norm, slices, slices, st.floats(1e-6, 1)),
    st.builds(RmsNorm, slices),
    linears,
    st.builds(Activation, st.sampled_from(["relu", "hard_swish", "gelu"])),
    st.builds(Scale, st.floats(-2, 2)),
    st.builds(MaxPool, st.integers(1, 3), st.integers(1, 3)),
    st.builds(GlobalMean, st.booleans()),
    st.builds(TokenPool, st.sampled_from(["first", "last", "mean"])),
    st.builds(Embed, slices, st.none() | slices),
    st.builds(
        Attention, linears, linears, linears, linears, st.integers(1, 4), st.integers(1, 4), st.booleans(), st.none() | st.floats(1, 10)
    ),
)
plans: st.SearchStrategy[Plan] = st.recursive(
    st.lists(simple, max_size=3).map(tuple),
    lambda inner: st.lists(
        simple
        | st.builds(Join, st.sampled_from(["add", "mul"]), st.tuples(inner, inner))
        | st.builds(LayerSelect, st.lists(inner, max_size=2).map(tuple), st.lists(st.integers(0, 3), max_size=3).map(tuple)),
        max_size=3,
    ).map(tuple),
    max_leaves=6,
)


@given(plan=plans)
def test_a_plan_is_read_back_as_it_was(plan: Plan) -> None:
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


def test_a_described_layer_is_readable_and_says_only_what_is_not_usual() -> None:
    conv = Conv(WeightSlice("conv1.weight", (range(64), range(3), range(7), range(7))), 2, padding=0)
    assert plan_to_json((conv,)) == [{"layer": "Conv", "weight": "conv1.weight[0:64, 0:3, 0:7, 0:7]", "stride": 2, "padding": 0}]


CONV = {"layer": "Conv", "weight": "w[0:4, 0:3, 0:1, 0:1]"}


@pytest.mark.parametrize(
    ("described", "complaint"),
    [
        ({}, "layers is {}, not a list"),
        ([3], r"layers\[0\] is 3"),
        ([{"layer": "Convolution"}], r"layers\[0\] is 'Convolution', which is no layer"),
        ([{**CONV, "strides": 2}], r"layers\[0\]: Conv has no field 'strides'"),
        ([{"layer": "Conv"}], r"layers\[0\]: Conv lacks the field 'weight'"),
        ([{**CONV, "stride": 2.5}], r"layers\[0\].stride is 2.5"),
        ([{**CONV, "stride": True}], r"layers\[0\].stride is True"),
        ([{**CONV, "weight": "w[4]"}], r"layers\[0\].weight: 'w\[4\]' is no slice"),
        ([{**CONV, "weight": "w[0:0]"}], "is no slice"),
        ([{**CONV, "weight": "w[0:4:0]"}], "is no slice"),
        ([{**CONV, "weight": CONV}], r"layers\[0\].weight is 'Conv', which is no layer that can stand there"),
        ([{"layer": "Join", "kind": "max", "branches": []}], r"layers\[0\].kind is 'max'"),
        ([CONV, {"layer": "Join", "kind": "add", "branches": [[CONV], [{}]]}], r"layers\[1\].branches\[1\]\[0\] is None"),
    ],
)
def test_plans_that_were_changed_by_hand_are_refused_with_the_place(described: Any, complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint) as refusal:
        plan_from_json(described)
    assert refusal.value.hint


def settings() -> dict[str, Any]:
    net = supernet.subnetact(ResNet().eval(), supernet.Elastic(), torch.zeros(1, 3, 16, 16))
    found: dict[str, Any] = json.loads(json.dumps(net.architecture.to_json()))
    return found


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"classes": 6}, r"the network yields \[5\] for each input"),
        ({"shape": [1, 16, 16]}, r"conv1.weight has the shape \[8, 3, 7, 7\]"),
        ({"elastic": {"stages": ["layer1"]}}, "there are 2 stages"),
        ({"layers": []}, "the family module has no architecture of its own"),
        ({"elastic": {"stages": ["layer1", "layer2"], "width": [2]}}, "width is"),
    ],
)
def test_architectures_whose_parts_do_not_fit_are_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SuperserveError, match=complaint):
        supernet.family("module")(**{**settings(), **change})


def test_the_family_alone_makes_no_network_and_says_what_does() -> None:
    with pytest.raises(BadOption) as refusal:
        supernet.family("module")(shape=(3, 8, 8), classes=10)
    assert "subnetact(model, Elastic(...), example)" in refusal.value.hint
