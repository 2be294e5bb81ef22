import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadOption
from superserve_cli.supernet import SuperNet, families
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.layers import Attention, LayerSelect, every_other
from superserve_cli.supernet.plan import layers
from superserve_cli.supernet.transformer import Transformer
from superserve_cli.training.initial import initial_weights

ARCHITECTURE = Transformer(shape=(1, 8, 8), classes=3, hidden=16, ffn=20, depth=(2, 3, 4, 6))
NET = SuperNet("transformer", ARCHITECTURE, initial_weights(ARCHITECTURE, 0), {})
SUBNETS = list(NET.space.enumerate())
X = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@given(subnet=st.sampled_from(SUBNETS))
def test_a_subnet_answers_in_place_bit_by_bit_as_extracted(subnet: str) -> None:
    with torch.inference_mode():
        answers = NET.forward(X, subnet)
        assert torch.equal(answers, extract(NET, subnet)(X))
    assert answers.shape == (5, 3)


@given(subnet=st.sampled_from(SUBNETS))
def test_the_first_heads_and_neurons_run_and_their_number_is_rounded_up(subnet: str) -> None:
    point = NET.space.parse(subnet)
    used = NET.slice_map(subnet)
    for attention in (layer for layer in layers(NET.plan(subnet)) if isinstance(layer, Attention)):
        assert attention.heads == np.ceil(point["width"][0] * 4)
        ((rows, _),) = used[attention.query.weight.parameter]
        assert rows == range(4 * attention.heads)
    ((rows, _),) = used["blocks.0.ffn.grow.weight"]
    assert rows == range(int(np.ceil(point["expand"][0] * 20)))


def test_every_subnet_can_be_evaluated_and_has_a_short_id() -> None:
    usual = Transformer(shape=(1, 16, 16), classes=20)
    assert usual.space.size <= 64
    assert (usual.space.smallest, usual.space.largest) == ("d2-w0.25-f0.25", "d6-w1-f1")
    assert "d4-w0.5-f1" in usual.space


@pytest.mark.parametrize(("depth", "kept"), [(2, (0, 3)), (3, (0, 2, 4)), (4, (0, 1, 3, 4)), (6, (0, 1, 2, 3, 4, 5))])
def test_blocks_that_run_are_spread_evenly(depth: int, kept: tuple[int, ...]) -> None:
    (stage,) = (layer for layer in NET.plan(f"d{depth}-w1-f1") if isinstance(layer, LayerSelect))
    assert stage.kept == kept
    assert len(stage.blocks) == 6


@given(blocks=st.integers(1, 48), data=st.data())
def test_the_rule_of_the_paper_names_the_blocks_that_are_dropped(blocks: int, data: st.DataObject) -> None:
    depth = data.draw(st.sampled_from([d for d in range(1, blocks) if blocks % (blocks - d) == 0] or [blocks]))
    period = blocks // (blocks - depth) if depth < blocks else blocks + 1
    dropped = {n - 1 for n in range(1, blocks + 1) if n % period == 0}
    assert every_other(blocks, depth) == tuple(i for i in range(blocks) if i not in dropped)


def test_no_subnet_needs_statistics() -> None:
    assert not NET.normalized
    assert all(NET.runs(subnet) for subnet in SUBNETS)


def test_the_named_subnets_are_those_that_the_description_has_a_row_of() -> None:
    rows = {subnet: {"macs": NET.macs(subnet)} for subnet in reversed(SUBNETS[3:9])}
    assert SuperNet("transformer", ARCHITECTURE, NET.weights, {}, {"subnets": rows}).subnets == tuple(SUBNETS[3:9])
    assert NET.subnets == ()


def test_the_settings_make_the_same_network_again() -> None:
    assert families()["transformer"](**ARCHITECTURE.to_json()) == ARCHITECTURE


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (2, 8)},
        {"shape": (1, 10, 8)},
        {"classes": 0},
        {"heads": 5},
        {"depth": (3, 2)},
        {"width": ()},
        {"expand": (0.5, 2.0)},
    ],
)
def test_settings_that_make_no_network_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        Transformer(**{**ARCHITECTURE.to_json(), **wrong})
