import json
from math import erf, prod, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from superserve_cli import supernet
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.supernet import SuperNet, importers
from superserve_cli.supernet.dynabert import DynaBert
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.families import parameters
from superserve_cli.supernet.layers import Attention, LayerSelect, Plan, every_other
from superserve_cli.supernet.plan import layers
from tests.supernet.ofa_nets import published

BASE = DynaBert(classes=3)
SMALL = DynaBert(shape=(2, 10), classes=3, hidden=128, heads=2, ffn=24, layers=4, vocabulary=50, positions=16, width_mult=(0.5, 0.75, 1.0))
FOUR = DynaBert(shape=(2, 10), classes=3, hidden=32, heads=4, ffn=24, layers=4, vocabulary=50, positions=16)
CONFIG = {
    "hidden_size": 128,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "vocab_size": 50,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "num_labels": 3,
}


def weights(architecture: DynaBert, seed: int = 0) -> dict[str, Tensor]:
    """Random ones, norms off the identity, so that no mistake hides."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=draw) * 0.2 + ("LayerNorm.weight" in name) for name, shape in parameters(architecture).items()
    }


def words(rows: int, length: int, seed: int = 0) -> Tensor:
    """Inputs (rows, 2, length) of different lengths, padded with word 0."""
    rng = np.random.default_rng(seed)
    x = np.zeros((rows, 2, length), np.int64)
    for row in x:
        used = rng.integers(2, length + 1)
        row[0, :used] = rng.integers(1, 50, used)
        row[1, used // 2 : used] = 1
    return torch.from_numpy(x)


NET = SuperNet("dynabert", FOUR, weights(FOUR), {})
X = words(6, 10)


def plan(subnet: str) -> Plan:
    return BASE.plan(BASE.space.parse(subnet))


def kept(architecture: DynaBert, subnet: str) -> tuple[int, ...]:
    (stage,) = (layer for layer in architecture.plan(architecture.space.parse(subnet)) if isinstance(layer, LayerSelect))
    return stage.kept


def test_bert_base_with_three_labels_has_the_published_parameters() -> None:
    expected = parameters(BASE)
    assert len(expected) == 201
    assert sum(map(prod, expected.values())) == 109_484_547


def test_names_and_shapes_are_those_of_the_published_checkpoint() -> None:
    assert published("dynabert_mnli") == parameters(BASE)


@pytest.mark.parametrize(
    ("subnet", "blocks"),
    [("d6-w1", (0, 2, 4, 6, 8, 10)), ("d9-w1", (0, 1, 2, 4, 5, 6, 8, 9, 10)), ("d12-w1", tuple(range(12)))],
)
def test_blocks_that_run_are_those_of_dynaberts_code(subnet: str, blocks: tuple[int, ...]) -> None:
    assert kept(BASE, subnet) == blocks == every_other(12, len(blocks))


@pytest.mark.parametrize(
    ("subnet", "heads", "inner", "neurons"), [("d12-w0.25", 3, 192, 768), ("d9-w0.5", 6, 384, 1536), ("d6-w0.75", 9, 576, 2304)]
)
def test_a_width_is_a_share_of_heads_and_of_neurons(subnet: str, heads: int, inner: int, neurons: int) -> None:
    shapes = {layer.query.weight.shape + layer.out.weight.shape for layer in layers(plan(subnet)) if isinstance(layer, Attention)}
    assert shapes == {(inner, 768, 768, inner)}
    assert {layer.heads for layer in layers(plan(subnet)) if isinstance(layer, Attention)} == {heads}
    used = SuperNet("dynabert", BASE, {}, {}).slice_map(subnet)
    assert used["bert.encoder.layer.0.intermediate.dense.weight"] == ((range(neurons), range(768)),)
    assert used["bert.encoder.layer.0.output.dense.weight"] == ((range(768), range(neurons)),)
    assert used["bert.encoder.layer.0.attention.output.dense.bias"] == ((range(768),),)
    assert used["bert.pooler.dense.weight"] == ((range(768), range(768)),)


def test_the_space_is_twelve_points() -> None:
    assert BASE.space.size == 12
    assert (BASE.space.smallest, BASE.space.largest) == ("d6-w0.25", "d12-w1")


@given(subnet=st.sampled_from(list(FOUR.space.enumerate())), seed=st.integers(0, 99))
def test_a_subnet_answers_in_place_bit_by_bit_as_extracted(subnet: str, seed: int) -> None:
    x = words(3, 10, seed)
    with torch.inference_mode():
        assert torch.equal(NET.forward(x, subnet), extract(NET, subnet)(x))


@given(subnet=st.sampled_from(list(FOUR.space.enumerate())), seed=st.integers(0, 99))
def test_padding_changes_no_answer(subnet: str, seed: int) -> None:
    x = words(1, 10, seed)
    used = int((x[0, 0] != 0).sum())
    with torch.inference_mode():
        torch.testing.assert_close(NET.forward(x, subnet), NET.forward(x[:, :, :used], subnet))


def normalized(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / ((centred**2).mean(-1, keepdim=True) + 1e-12).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def dense(x: Tensor, w: dict[str, Tensor], name: str, rows: int, columns: int) -> Tensor:
    return x @ w[f"{name}.weight"][:rows, :columns].T + w[f"{name}.bias"][:rows]


def reference(x: Tensor, w: dict[str, Tensor], net: DynaBert, blocks: tuple[int, ...], heads: int) -> Tensor:
    """BERT as its paper and Hugging Face's version 2.1.1 describe it, one sentence after the other, one head after the other."""
    side, neurons = net.hidden // net.heads, heads * net.ffn // net.heads
    answers = []
    for tokens, types in x:
        e = "bert.embeddings."
        h = w[f"{e}word_embeddings.weight"][tokens] + w[f"{e}token_type_embeddings.weight"][types]
        h = normalized(h + w[f"{e}position_embeddings.weight"][: len(tokens)], w, f"{e}LayerNorm")
        mask = (tokens == 0).double() * -10000.0
        for i in blocks:
            at = f"bert.encoder.layer.{i}."
            q, k, v = (dense(h, w, f"{at}attention.self.{part}", heads * side, net.hidden) for part in ("query", "key", "value"))
            mixed = []
            for head in range(heads):
                own = slice(head * side, (head + 1) * side)
                scores = q[:, own] @ k[:, own].T / sqrt(side) + mask
                mixed.append(scores.softmax(-1) @ v[:, own])
            out = dense(torch.cat(mixed, -1), w, f"{at}attention.output.dense", net.hidden, heads * side)
            h = normalized(out + h, w, f"{at}attention.output.LayerNorm")
            grown = dense(h, w, f"{at}intermediate.dense", neurons, net.hidden)
            grown = grown * 0.5 * (1 + grown.clone().apply_(lambda value: erf(value / sqrt(2))))
            h = normalized(dense(grown, w, f"{at}output.dense", net.hidden, neurons) + h, w, f"{at}output.LayerNorm")
        pooled = dense(h[0], w, "bert.pooler.dense", net.hidden, net.hidden).tanh()
        answers.append(dense(pooled, w, "classifier", net.classes, net.hidden))
    return torch.stack(answers)


@pytest.mark.parametrize(
    ("subnet", "blocks", "heads"), [("d4-w1", (0, 1, 2, 3), 4), ("d3-w0.75", (0, 1, 2), 3), ("d2-w0.25", (0, 2), 1), ("d2-w0.5", (0, 2), 2)]
)
def test_answers_are_those_of_bert_written_out(subnet: str, blocks: tuple[int, ...], heads: int) -> None:
    exact = reference(X, {name: weight.double() for name, weight in NET.weights.items()}, FOUR, blocks, heads)
    torch.testing.assert_close(NET.forward(X, subnet).double(), exact, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_is_imported_from_a_file_by_its_shapes(tmp_path: Path) -> None:
    held = weights(SMALL)
    torch.save(held, tmp_path / "mnli.bin")
    imported = importers.load(tmp_path / "mnli.bin", "dynabert")
    assert imported.architecture.to_json() == {**SMALL.to_json(), "shape": (2, 16)}
    assert all(torch.equal(imported.weights[name], weight) for name, weight in held.items())


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
def test_a_folder_is_imported_with_the_sizes_of_its_configuration(tmp_path: Path, file: str) -> None:
    held = weights(FOUR)
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): w for name, w in held.items()}
    old["bert.embeddings.position_ids"] = torch.arange(16)[None]
    write = save_file if file == "model.safetensors" else torch.save
    write(old, tmp_path / file)
    settings = {**CONFIG, "hidden_size": 32, "num_attention_heads": 4, "layer_norm_eps": 1e-6}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    (tmp_path / "training_args.bin").write_bytes(b"no torch file")
    imported = importers.load(tmp_path, "dynabert")
    assert imported.architecture.to_json() == {**FOUR.to_json(), "shape": (2, 16), "epsilon": 1e-6}
    assert imported.subnets == tuple(imported.space.enumerate())
    supernet.save(tmp_path / "net", imported)
    again = supernet.load(tmp_path / "net")
    assert again.hash == imported.hash
    assert torch.equal(again.forward(X, "d3-w0.5"), imported.forward(X, "d3-w0.5"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hidden_size": 64}, "has in another shape bert.embeddings.word_embeddings.weight"),
        ({"num_hidden_layers": 5}, "lacks bert.encoder.layer.4"),
        ({"num_hidden_layers": 2}, "has the unknown bert.encoder.layer.2"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"model_type": "roberta"}, "model_type is 'roberta'"),
        ({"num_attention_heads": 3}, "3 heads do not divide"),
        ({"hidden_size": "big"}, "has a count that is none"),
        ({"pad_token_id": None}, "the padding is word None"),
        ({"layer_norm_eps": 0}, "epsilon is 0"),
    ],
)
def test_a_configuration_that_is_not_of_the_checkpoint_is_refused(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    torch.save(weights(SMALL), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(BadFile, match=complaint):
        importers.load(tmp_path, "dynabert")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"classifier.bias": None}, "lacks classifier.bias"),
        ({"bert.extra": torch.zeros(1)}, "has the unknown bert.extra"),
        ({"bert.pooler.dense.bias": torch.zeros(3)}, r"has in another shape bert.pooler.dense.bias \(3,\), not \(128,\)"),
        ({"bert.embeddings.word_embeddings.weight": None}, "lacks bert.embeddings.word_embeddings.weight"),
    ],
)
def test_every_wrong_parameter_is_named(tmp_path: Path, change: dict[str, Tensor | None], complaint: str) -> None:
    changed = {name: weight for name, weight in {**weights(SMALL), **change}.items() if weight is not None}
    torch.save(changed, tmp_path / "mnli.bin")
    with pytest.raises(BadFile, match=complaint):
        importers.load(tmp_path / "mnli.bin", "dynabert")


def test_a_share_that_leaves_no_head_is_no_subnet_of_a_small_model(tmp_path: Path) -> None:
    torch.save(weights(SMALL), tmp_path / "mnli.bin")
    assert importers.load(tmp_path / "mnli.bin", "dynabert").space.smallest == "d2-w0.5"


def test_a_folder_without_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"holds neither model.safetensors nor pytorch_model.bin"):
        importers.load(tmp_path, "dynabert")


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (1, 10)},
        {"shape": (2, 17)},
        {"heads": 5},
        {"padding": 50},
        {"epsilon": 0.0},
        {"depth_mult": (1.0, 0.5)},
        {"width_mult": (0.5,)},
        {"layers": 1},
    ],
)
def test_settings_that_make_no_network_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        DynaBert(**{**FOUR.to_json(), **wrong})
