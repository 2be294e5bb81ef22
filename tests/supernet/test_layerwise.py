"""The family layerwise against plain references in PyTorch, and what its exits and its padding do."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from superserve_cli import supernet, tasks
from superserve_cli.errors import BadOption
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.families import parameters
from superserve_cli.supernet.layerwise import Layerwise
from superserve_cli.supernet.onnx import described, export_whole

SMALL: Final = {"shape": (7,), "classes": 1, "words": 11, "width": 16, "inner": 20, "layers": 4, "start": 2}
EMBEDDER: Final = {"kind": "encoder", "head": "none", "pool": "mean", "classes": 16, "start": 1}
KINDS: Final[dict[str, dict[str, Any]]] = {
    "reranker": SMALL,
    "with fewer key heads": {**SMALL, "key_heads": 2},
    "with one head for all exits": {**SMALL, "head": "shared", "classes": 3, "scale_depth": 2.0},
    "with the mean of the words": {**SMALL, "pool": "mean"},
    "embedder": {**SMALL, **EMBEDDER},
    "embedder of unit length": {**SMALL, **EMBEDDER, "unit_length": True},
    "embedder by the first word": {**SMALL, **EMBEDDER, "pool": "first"},
    "embedder with types": {**SMALL, **EMBEDDER, "shape": (2, 7)},
}


def net(kind: str = "reranker", seed: int = 0) -> SuperNet:
    architecture = Layerwise(**KINDS[kind])
    draw = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=draw) / 3 for name, shape in parameters(architecture).items()}
    return SuperNet("layerwise", architecture, weights, {})


def texts(shape: tuple[int, ...], rows: int = 5, seed: int = 0) -> Tensor:
    """Words, or words and types, whose ends are padding in some rows."""
    draw = torch.Generator().manual_seed(seed)
    words = torch.randint(1, 11, (rows, shape[-1]), generator=draw)
    for row in range(1, rows):
        words[row, shape[-1] - row % shape[-1] :] = 0
    return words if len(shape) == 1 else torch.stack([words, torch.randint(0, 2, words.shape, generator=draw)], 1)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_exit_in_place_answers_bit_by_bit_as_its_extracted_copy(kind: str) -> None:
    held = net(kind)
    x = texts(held.architecture.shape)
    with torch.inference_mode():
        for subnet in held.space.enumerate():
            assert torch.equal(held.forward(x, subnet), extract(held, subnet)(x))


def test_the_exits_are_named_by_the_blocks_before_them() -> None:
    assert [*net().space.enumerate()] == ["d2", "d3", "d4"]
    assert [*Layerwise((8,), 1, layers=40, start=8).space.enumerate()][::32] == ["d8", "d40"]


def test_an_exit_uses_its_own_head_the_shared_norm_and_the_blocks_before_it() -> None:
    used = net().slice_map("d3")
    assert [name for name in used if name.startswith("lm_head")] == ["lm_head.1.linear_head.weight"]
    assert "model.norm.weight" in used
    assert {name.split(".")[2] for name in used if name.startswith("model.layers.")} == {"0", "1", "2"}


def test_an_embedder_has_no_parameters_beyond_its_blocks() -> None:
    assert {name.split(".")[0] for name in net("embedder").weights} == {"embeddings", "encoder"}


@given(words=st.lists(st.integers(1, 10), min_size=1, max_size=7), kind=st.sampled_from(["reranker", "with fewer key heads"]))
@settings(max_examples=20)
def test_scores_do_not_depend_on_the_side_or_the_amount_of_padding(words: list[int], kind: str) -> None:
    held, pad = net(kind), [0] * (7 - len(words))
    with torch.inference_mode():
        for subnet in held.space.enumerate():
            alone, left, right = (held.forward(torch.tensor([row]), subnet) for row in (words, pad + words, words + pad))
            torch.testing.assert_close(left, alone, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(right, alone, rtol=1e-4, atol=1e-5)


def test_an_embedding_does_not_depend_on_the_padding_after_a_text() -> None:
    held = net("embedder of unit length")
    with torch.inference_mode():
        short, long = (held.forward(torch.tensor([words]), "d3") for words in ([1, 2, 3], [1, 2, 3, 0, 0]))
    torch.testing.assert_close(long, short)
    torch.testing.assert_close(short.norm(dim=1), torch.ones(1))


def _rms(x: Tensor, scale: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * scale


def _rotated(x: Tensor) -> Tensor:
    """Pairs (i, i + half) of (length, dimensions), each turned as a complex number by place * 10000 ** (-2 i / dimensions)."""
    length, size = x.shape
    angles = [[place * 10_000 ** (-2 * i / size) for i in range(size // 2)] for place in range(length)]
    numbers = torch.complex(x[:, : size // 2].contiguous(), x[:, size // 2 :].contiguous()) * torch.polar(
        torch.ones(length, size // 2), torch.tensor(angles)
    )
    return torch.cat([numbers.real, numbers.imag], 1)


def _minicpm(w: Mapping[str, Tensor], words: list[int], depth: int, key_heads: int) -> Tensor:
    """The score of one text without padding, head by head and place by place."""
    x = w["model.embed_tokens.weight"][words] * 12
    for i in range(depth):
        own = {name.removeprefix(f"model.layers.{i}."): t for name, t in w.items() if name.startswith(f"model.layers.{i}.")}
        h = _rms(x, own["input_layernorm.weight"])
        q, k, v = (h @ own[f"self_attn.{part}_proj.weight"].T for part in "qkv")
        mixed = []
        for head in range(4):
            mine, its = slice(4 * head, 4 * head + 4), slice(4 * (head * key_heads // 4), 4 * (head * key_heads // 4) + 4)
            scores = _rotated(q[:, mine]) @ _rotated(k[:, its]).T / 2
            for place in range(len(words)):
                scores[place, place + 1 :] = -math.inf
            mixed.append(scores.softmax(1) @ v[:, its])
        x = x + torch.cat(mixed, 1) @ own["self_attn.o_proj.weight"].T * (1.4 / math.sqrt(4))
        h = _rms(x, own["post_attention_layernorm.weight"])
        gate = h @ own["mlp.gate_proj.weight"].T
        h = (gate * gate.sigmoid() * (h @ own["mlp.up_proj.weight"].T)) @ own["mlp.down_proj.weight"].T
        x = x + h * (1.4 / math.sqrt(4))
    return _rms(x, w["model.norm.weight"])[-1] @ w[f"lm_head.{depth - 2}.linear_head.weight"].T


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_reranker_computes_what_a_plain_minicpm_does(depth: int) -> None:
    held, words = net(), [3, 1, 4, 1, 5, 9, 2]
    torch.testing.assert_close(held.forward(torch.tensor([words]), f"d{depth}")[0], _minicpm(held.weights, words, depth, 4))


def test_heads_that_share_a_key_head_compute_what_a_plain_minicpm_does() -> None:
    held, words = net("with fewer key heads"), [3, 1, 4, 1]
    torch.testing.assert_close(held.forward(torch.tensor([words]), "d4")[0], _minicpm(held.weights, words, 4, 2))


def _bert(w: Mapping[str, Tensor], words: list[int], depth: int) -> Tensor:
    """What BERT makes of each word of one text without padding."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    word, position, kind = (w[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    x = norm(word[words] + position[: len(words)] + kind[0], "embeddings.LayerNorm")
    for i in range(depth):
        name = f"encoder.layer.{i}"
        q, k, v = (linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = [slice(4 * head, 4 * head + 4) for head in range(4)]
        mixed = torch.cat([(q[:, h] @ k[:, h].T / 2).softmax(1) @ v[:, h] for h in heads], 1)
        x = norm(x + linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
        x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return x


@pytest.mark.parametrize("depth", [1, 4])
def test_an_embedder_computes_what_a_plain_bert_does(depth: int) -> None:
    words = [3, 1, 4, 1, 5]
    for kind, pooled in (
        ("embedder", lambda x: x.mean(0)),
        ("embedder by the first word", lambda x: x[0]),
        ("embedder of unit length", lambda x: F.normalize(x.mean(0), dim=0)),
    ):
        held = net(kind)
        expected = pooled(_bert(held.weights, words, depth))
        torch.testing.assert_close(held.forward(torch.tensor([words]), f"d{depth}")[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["reranker", "with fewer key heads", "with the mean of the words", "embedder of unit length"])
def test_all_exits_fit_into_one_onnx_model(kind: str, tmp_path: Path) -> None:
    held = net(kind)
    difference = export_whole(held, [*held.space.enumerate()], tmp_path / "whole.onnx")
    assert difference is not None
    assert difference <= 1e-4


def test_a_layerwise_supernet_survives_saving(tmp_path: Path) -> None:
    held = net("embedder of unit length")
    supernet.save(tmp_path, held)
    again = supernet.load(tmp_path)
    assert again.architecture == held.architecture
    assert again.hash == held.hash


def test_the_usual_settings_know_the_words_of_digit_tokens() -> None:
    task = tasks.load("digit-tokens")
    made = supernet.family("layerwise")(shape=task.shape, classes=task.classes)
    assert isinstance(made, Layerwise)
    assert task.train.x.max() < made.words
    assert task.train.x.min() > made.padding


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"shape": (1, 8, 8)}, "do not fit the family layerwise"),
        ({"shape": (2, 7)}, "do not fit the family layerwise"),
        ({"shape": (0,)}, "shape has 0"),
        ({"words": 11.0}, "words has 11.0"),
        ({"layers": True}, "layers has True"),
        ({"width": 18}, "does not divide into 4 heads"),
        ({"width": 12}, "cannot be turned in pairs"),
        ({"key_heads": 3}, "4 heads do not share 3 key heads"),
        ({"start": 5}, "exits from 5 to 4 are none"),
        ({"padding": 11}, "the padding 11 is none of 11 words"),
        ({"epsilon": math.nan}, "epsilon is nan"),
        ({"kind": "both"}, "kind is 'both'"),
        ({"pool": "max"}, "pool is 'max'"),
        ({"head": "none"}, "without a head there are 16"),
        ({**EMBEDDER, "key_heads": 2}, "an encoder has as many key heads as heads"),
        ({**EMBEDDER, "positions": 6}, "need more than 6 positions"),
    ],
)
def test_settings_that_make_no_network_are_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        Layerwise(**{**SMALL, **wrong})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_text_that_is_nothing_but_padding_gets_finite_numbers(kind: str, tmp_path: Path) -> None:
    held = net(kind)
    nothing = torch.zeros(2, *held.architecture.shape, dtype=torch.int64)
    export_whole(held, [held.space.largest], tmp_path / "whole.onnx", verify=False)
    session = ort.InferenceSession(tmp_path / "whole.onnx")
    feeds = described.read(tmp_path / "whole.onnx").subnets[0].feeds()
    with torch.inference_mode():
        said = held.forward(nothing, held.space.largest)
    assert said.isfinite().all()
    assert torch.allclose(torch.from_numpy(session.run(None, {"input": nothing.numpy(), **feeds})[0]), said, atol=1e-4)
