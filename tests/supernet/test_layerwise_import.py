"""Local Hugging Face folders of layer-wise models, with random weights: what is imported, and every mistake that is named."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from superserve_cli import supernet
from superserve_cli.errors import BadFile
from superserve_cli.supernet import SuperNet, importers
from superserve_cli.supernet.layerwise import Layerwise

RERANKER: Final[dict[str, Any]] = {
    "architectures": ["LayerWiseMiniCPMForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {"AutoModelForCausalLM": "modeling.LayerWiseMiniCPMForCausalLM"},
    "bos_token_id": 1,
    "dim_model_base": 256,
    "head_multi": True,
    "head_type": "simple",
    "hidden_act": "silu",
    "hidden_size": 16,
    "intermediate_size": 20,
    "max_position_embeddings": 64,
    "model_type": "minicpm",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-5,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "scale_depth": 1.4,
    "scale_emb": 12,
    "start_layer": 2,
    "torch_dtype": "bfloat16",
    "vocab_size": 11,
}
EMBEDDER: Final[dict[str, Any]] = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_size": 8,
    "intermediate_size": 12,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 20,
    "model_type": "bert",
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "vocab_size": 11,
}
MODES: Final = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")


def reranker_weights() -> dict[str, Tensor]:
    """As the class has them: written out, not asked of the family."""
    width, inner, keys, words = 16, 20, 8, 11
    shapes = {"model.embed_tokens.weight": (words, width), "model.norm.weight": (width,)}
    for i in range(3):
        block = f"model.layers.{i}"
        shapes |= {f"{block}.{norm}.weight": (width,) for norm in ("input_layernorm", "post_attention_layernorm")}
        shapes |= {
            f"{block}.self_attn.{part}_proj.weight": (rows, width) for part, rows in zip("qkvo", (width, keys, keys, width), strict=True)
        }
        shapes |= {f"{block}.mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")} | {
            f"{block}.mlp.down_proj.weight": (width, inner)
        }
    shapes |= {f"lm_head.{i}.linear_head.weight": (1, width) for i in range(2)}
    return _drawn(shapes)


def embedder_weights() -> dict[str, Tensor]:
    """As BertModel has them, with the pooler and the buffer that pooling does not use."""
    width, inner = 8, 12
    shapes: dict[str, tuple[int, ...]] = {
        f"embeddings.{name}_embeddings.weight": (rows, width) for name, rows in (("word", 11), ("position", 20), ("token_type", 2))
    }
    linear = {"pooler.dense": (width, width)}
    norms = ["embeddings.LayerNorm"]
    for i in range(3):
        block = f"encoder.layer.{i}"
        linear |= {f"{block}.attention.self.{part}": (width, width) for part in ("query", "key", "value")}
        linear |= {f"{block}.attention.output.dense": (width, width), f"{block}.intermediate.dense": (inner, width)}
        linear |= {f"{block}.output.dense": (width, inner)}
        norms += [f"{block}.attention.output.LayerNorm", f"{block}.output.LayerNorm"]
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return {**_drawn(shapes), "embeddings.position_ids": torch.arange(20)[None]}


def _drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def reranker(folder: Path, weights: dict[str, Tensor] | None = None, **config: Any) -> Path:
    write(folder / "config.json", {**RERANKER, **config})
    save_file(reranker_weights() if weights is None else weights, folder / "model.safetensors")
    return folder


def embedder(
    folder: Path, mode: str = "mean_tokens", modules: tuple[str, ...] = ("Transformer", "Pooling", "Normalize"), **config: Any
) -> Path:
    write(folder / "config.json", {**EMBEDDER, **config})
    places = ("", "1_Pooling", "2_Normalize")
    listed = [
        {"idx": i, "name": str(i), "path": place, "type": f"sentence_transformers.models.{module}"}
        for i, (module, place) in enumerate(zip(modules, places, strict=False))
    ]
    write(folder / "modules.json", listed)
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": 8, **{f"pooling_mode_{m}": m == mode for m in MODES}})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 15, "do_lower_case": False})
    save_file(embedder_weights(), folder / "model.safetensors")
    return folder


def imported(folder: Path) -> SuperNet:
    return importers.load(folder, "layerwise")


def settings(net: SuperNet) -> Layerwise:
    assert isinstance(net.architecture, Layerwise)
    return net.architecture


def test_a_reranker_is_imported_with_all_that_its_configuration_says(tmp_path: Path) -> None:
    net = imported(reranker(tmp_path))
    assert settings(net) == Layerwise(
        shape=(64,), classes=1, words=11, width=16, inner=20, layers=3, start=2, heads=4, key_heads=2, scale_embeddings=12, scale_depth=1.4
    )
    assert [*net.space.enumerate()] == ["d2", "d3"]
    assert all(torch.equal(net.weights[name], weight) for name, weight in reranker_weights().items())
    assert net.metadata["origin"]["format"] == "Hugging Face LayerWiseMiniCPMForCausalLM"
    assert net.forward(torch.tensor([[1, 5, 7]]), "d2").shape == (1, 1)


def test_one_head_may_serve_all_exits(tmp_path: Path) -> None:
    weights = {name: weight for name, weight in reranker_weights().items() if not name.startswith("lm_head")}
    net = imported(reranker(tmp_path, {**weights, "lm_head.linear_head.weight": torch.ones(1, 16)}, head_multi=False))
    assert {"lm_head.linear_head.weight"} == {name for name in net.slice_map("d3") if name.startswith("lm_head")}


@pytest.mark.parametrize(("mode", "pool"), [("mean_tokens", "mean"), ("cls_token", "first")])
@pytest.mark.parametrize("normalize", [True, False])
def test_an_embedder_is_imported_with_its_pooling(tmp_path: Path, mode: str, pool: str, normalize: bool) -> None:
    modules = ("Transformer", "Pooling", "Normalize")[: 3 if normalize else 2]
    net = imported(embedder(tmp_path, mode, modules))
    made = settings(net)
    assert (made.kind, made.pool, made.unit_length, made.shape, made.classes, made.start) == ("encoder", pool, normalize, (15,), 8, 1)
    assert net.metadata["origin"]["unused"] == ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32_and_the_origin_says_so(tmp_path: Path, dtype: torch.dtype) -> None:
    halves = {name: weight.to(dtype) for name, weight in reranker_weights().items()}
    net = imported(reranker(tmp_path, halves))
    assert all(torch.equal(weight, halves[name].float()) for name, weight in net.weights.items())
    assert net.metadata["origin"]["dtype"] == str(dtype).removeprefix("torch.")
    supernet.save(tmp_path / "saved", net)
    assert supernet.load(tmp_path / "saved").hash == net.hash


def test_weights_may_lie_in_several_files(tmp_path: Path) -> None:
    folder, names = reranker(tmp_path), sorted(whole := reranker_weights())
    (folder / "model.safetensors").unlink()
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: whole[name] for name in part}, folder / file)
    write(folder / "model.safetensors.index.json", {"weight_map": {name: file for file, part in parts.items() for name in part}})
    assert all(torch.equal(weight, whole[name]) for name, weight in imported(folder).weights.items())
    (folder / "b.safetensors").unlink()
    with pytest.raises(BadFile, match=r"has no b\.safetensors"):
        imported(folder)
    save_file(whole, folder / "b.safetensors")
    with pytest.raises(BadFile, match=r"lm_head\.0\.linear_head\.weight, which another file has too"):
        imported(folder)


def test_weights_may_be_what_torch_saved(tmp_path: Path) -> None:
    folder = reranker(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save(reranker_weights(), folder / "pytorch_model.bin")
    assert len(imported(folder).weights) == len(reranker_weights())


def test_the_padding_is_what_the_tokenizer_says_where_the_configuration_is_silent(tmp_path: Path) -> None:
    folder = reranker(tmp_path, pad_token_id=None)
    with pytest.raises(BadFile, match="does not say which word is padding"):
        imported(folder)
    write(folder / "special_tokens_map.json", {"pad_token": {"content": "</s>"}})
    write(folder / "tokenizer.json", {"added_tokens": [{"id": 2, "content": "</s>"}]})
    assert settings(imported(folder)).padding == 2
    write(folder / "tokenizer_config.json", {"pad_token": "<unk>", "added_tokens_decoder": {"0": {"content": "<unk>"}}})
    assert settings(imported(folder)).padding == 0


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"architectures": ["MiniCPMForCausalLM"]}, "architectures is"),
        ({"architectures": "BertModel"}, "architectures is 'BertModel'"),
        ({"head_type": "complex"}, "head_type is 'complex'"),
        ({"head_multi": "yes"}, "head_multi is 'yes'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "has rope_scaling"),
        ({"sliding_window": 128}, "has sliding_window 128"),
        ({"quantization_config": {"bits": 4}}, "has quantization_config"),
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"hidden_size": "16"}, "width has '16'"),
        ({"num_attention_heads": 5}, "does not divide into 5 heads"),
        ({"start_layer": 4}, "exits from 4 to 3 are none"),
        ({"pad_token_id": 1}, "the word 1 is padding and begins every text"),
        ({"pad_token_id": 11}, "the padding 11 is none of 11 words"),
        ({"max_position_embeddings": None}, "texts have 512 words, of None positions"),
        ({"vocab_size": 12}, r"in another shape model\.embed_tokens\.weight \(11, 16\), not \(12, 16\)"),
        ({"num_hidden_layers": 4}, r"lacks model\.layers\.3\.input_layernorm\.weight"),
    ],
)
def test_a_configuration_that_cannot_be_followed_is_refused_by_name(tmp_path: Path, config: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint):
        imported(reranker(tmp_path, **config))


def test_an_entry_that_the_configuration_lacks_is_named(tmp_path: Path) -> None:
    write(reranker(tmp_path) / "config.json", {name: value for name, value in RERANKER.items() if name != "rope_theta"})
    with pytest.raises(BadFile, match="lacks rope_theta"):
        imported(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model.norm.weight": None}, r"lacks model\.norm\.weight"),
        ({"model.bias": torch.ones(3)}, r"has the unknown model\.bias"),
        ({"model.norm.weight": torch.ones(3)}, r"model\.norm\.weight \(3,\), not \(16,\)"),
        ({"model.norm.weight": torch.ones(16, dtype=torch.int8)}, r"model\.norm\.weight torch\.int8"),
        ({"model.norm.weight": torch.full((16,), torch.nan)}, "has NaN or infinity"),
        ({"lm_head.2.linear_head.weight": torch.ones(1, 16)}, r"has the unknown lm_head\.2"),
    ],
)
def test_each_parameter_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Tensor | None], complaint: str) -> None:
    changed = {name: weight for name, weight in {**reranker_weights(), **change}.items() if weight is not None}
    with pytest.raises(BadFile, match=complaint):
        imported(reranker(tmp_path, changed))


def test_an_embedder_that_cannot_be_followed_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="position_embedding_type is 'relative_key'"):
        imported(embedder(tmp_path / "a", position_embedding_type="relative_key"))
    with pytest.raises(BadFile, match="has the modules Transformer, Pooling, Dense"):
        imported(embedder(tmp_path / "b", modules=("Transformer", "Pooling", "Dense")))
    with pytest.raises(BadFile, match="pools by max_tokens"):
        imported(embedder(tmp_path / "c", "max_tokens"))
    with pytest.raises(BadFile, match="word_embedding_dimension is 8"):
        imported(embedder(tmp_path / "d", hidden_size=16))
    (embedder(tmp_path / "e") / "modules.json").unlink()
    with pytest.raises(BadFile, match=r"there is no .*modules\.json"):
        imported(tmp_path / "e")


def test_a_folder_without_weights_or_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"is not a folder with a config\.json"):
        imported(tmp_path)
    (reranker(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(BadFile, match=r"has no model\.safetensors and no pytorch_model\.bin"):
        imported(tmp_path)
    write(tmp_path / "model.safetensors.index.json", {"weight_map": {"model.norm.weight": "../elsewhere.safetensors"}})
    with pytest.raises(BadFile, match="does not name files beside it"):
        imported(tmp_path)


def test_code_in_the_folder_is_never_run(tmp_path: Path) -> None:
    (reranker(tmp_path) / "modeling.py").write_text("raise SystemExit('run')")
    assert imported(tmp_path).family == "layerwise"
