import math

import pytest
import torch

from superserve_cli.supernet.dynabert import DynaBert
from superserve_cli.supernet.families import Architecture, parameters
from superserve_cli.supernet.layerwise import Layerwise
from superserve_cli.supernet.transformer import Transformer
from superserve_cli.training.initial import HEAD, initial_weights

IMAGES = Transformer(shape=(1, 16, 16), classes=5)
WORDS = DynaBert(shape=(2, 8), classes=3, hidden=32, heads=4, ffn=64, layers=4, vocabulary=20, positions=8)


@pytest.mark.parametrize("architecture", [IMAGES, WORDS], ids=["transformer", "dynabert"])
def test_every_parameter_begins_somewhere_in_its_shape(architecture: Architecture) -> None:
    found = initial_weights(architecture, 0)
    assert {name: tuple(w.shape) for name, w in found.items()} == parameters(architecture)
    assert all(w.isfinite().all() for w in found.values())
    assert not torch.equal(found[some(found)], initial_weights(architecture, 1)[some(found)])
    assert torch.equal(found[some(found)], initial_weights(architecture, 0)[some(found)])


def some(weights: dict[str, torch.Tensor]) -> str:
    return next(name for name, w in weights.items() if w.ndim > 1)


def test_norms_begin_as_the_identity_and_biases_at_nothing() -> None:
    found = initial_weights(WORDS, 0)
    assert all((w == 1).all() for name, w in found.items() if name.endswith("LayerNorm.weight"))
    assert all((w == 0).all() for name, w in found.items() if name.endswith("bias"))


def test_what_ends_a_residual_branch_is_smaller_by_the_root_of_their_number() -> None:
    found = initial_weights(IMAGES, 0)
    inside, ends = found["blocks.3.attention.value.weight"], found["blocks.3.attention.out.weight"]
    assert inside.std().item() == pytest.approx(1 / 8, rel=0.1)
    assert ends.std().item() == pytest.approx(inside.std().item() / math.sqrt(12), rel=0.1)
    assert found["blocks.3.ffn.shrink.weight"].std().item() == pytest.approx(1 / math.sqrt(256 * 12), rel=0.1)


def test_a_classifier_begins_near_zero() -> None:
    assert initial_weights(IMAGES, 0)["head.weight"].std().item() == pytest.approx(HEAD, rel=0.2)


def test_blocks_and_heads_that_the_largest_subnet_does_not_run_begin_too() -> None:
    exits = Layerwise(shape=(6,), classes=1)
    assert initial_weights(exits, 0).keys() == parameters(exits).keys()
