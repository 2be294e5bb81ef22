"""Local Hugging Face folders of layer-wise models: rerankers of the class LayerWiseMiniCPMForCausalLM, and BERT embedders.

Each entry of config.json is one that the architecture follows, or has the one value that it can follow, or changes no output; any
other is refused by name. An embedder's pooling is what its modules.json says (sentence-transformers).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from superserve_cli.core.files import read_json
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.supernet.families import parameters
from superserve_cli.supernet.importers import checkpoint
from superserve_cli.supernet.importers.huggingface import CONFIG, HINT, IDLE, Entries, as_float32, padding, weights
from superserve_cli.supernet.layerwise import Layerwise
from superserve_cli.supernet.supernet import SuperNet

FAMILY: Final = "layerwise"
USUAL_LENGTH: Final = 512
"""How many words an input has where nothing says so; rerankers and embedders are used with texts cut to it."""
SIZES: Final = (
    *("hidden_size", "intermediate_size", "max_position_embeddings"),
    *("num_attention_heads", "num_hidden_layers", "vocab_size"),
)
DECODER_FIXED: Final[dict[str, Any]] = {
    "model_type": "minicpm",
    "head_type": "simple",
    "hidden_act": "silu",
    "attention_bias": False,
    "pretraining_tp": 1,
}
DECODER_FOLLOWED: Final = {
    *("head_multi", "num_key_value_heads", "rms_norm_eps", "rope_theta", "scale_depth", "scale_emb", "start_layer"),
    *SIZES,
}
DECODER_IDLE: Final = IDLE | {"attention_dropout", "dim_model_base"}
"""Heads of the type `simple` do not divide by hidden_size / dim_model_base, as those over the vocabulary do."""
ENCODER_FIXED: Final[dict[str, Any]] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
}
ENCODER_FOLLOWED: Final = {"layer_norm_eps", "type_vocab_size", *SIZES}
ENCODER_IDLE: Final = {
    *("attention_probs_dropout_prob", "classifier_dropout", "directionality", "hidden_dropout_prob"),
    *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
    *IDLE,
}
UNUSED: Final = ("embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight")
"""What a BertModel has besides, which pooling over its last layer does not use."""
POOLS: Final = {"mean_tokens": "mean", "cls_token": "first", "lasttoken": "last"}
MODULES: Final = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


def layerwise(folder: Path) -> SuperNet:
    """The SuperNet of a local Hugging Face folder, in float32; raises BadFile.

    Only a file's own numbers are held besides the SuperNet's, and those of half precision are converted one tensor after the other.
    """
    config = Entries.read(_described(folder), "the configuration of a model")
    architecture = _architecture(folder, config)
    found, stored, unused = {}, set(), []
    for name, tensor in weights(folder):
        if architecture.kind == "encoder" and name in UNUSED:
            unused.append(name)
        else:
            stored.add(str(tensor.dtype).removeprefix("torch."))
            found[name] = as_float32(tensor)
    imported = SuperNet(FAMILY, architecture, checkpoint.strict(folder, found, parameters(architecture)), {})
    known = {subnet: {"macs": imported.macs(subnet), "params": imported.params(subnet)} for subnet in imported.space.enumerate()}
    origin = {"format": f"Hugging Face {config['architectures'][0]}", "dtype": ", ".join(sorted(stored)), "unused": sorted(unused)}
    return replace(imported, metadata={"origin": origin, "subnets": known}, _programs={})


def _described(folder: Path) -> Path:
    if not folder.is_dir() or not (folder / CONFIG).is_file():
        raise BadFile(f"{folder} is not a folder with a {CONFIG}", hint=HINT)
    return folder / CONFIG


def _architecture(folder: Path, config: Entries) -> Layerwise:
    named = config["architectures"]
    make = ARCHITECTURES.get(named[0]) if isinstance(named, list) and len(named) == 1 and isinstance(named[0], str) else None
    if make is None:
        raise BadFile(f"{config.path}: architectures is {named!r}", hint=f"--family {FAMILY} reads {' and '.join(ARCHITECTURES)}")
    try:
        return make(folder, config)
    except BadOption as error:
        raise BadFile(f"{config.path}: {error}", hint=error.hint) from error


def _decoder(folder: Path, config: Entries) -> Layerwise:
    config.check(DECODER_FOLLOWED, DECODER_FIXED, DECODER_IDLE)
    if not isinstance(multi := config["head_multi"], bool):
        raise BadFile(f"{config.path}: head_multi is {multi!r}", hint="it is true or false")
    heads, key_heads = config["num_attention_heads"], config.values.get("num_key_value_heads")
    return Layerwise(
        shape=(_length(config, USUAL_LENGTH),),
        classes=1,
        kind="decoder",
        words=config["vocab_size"],
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        start=config["start_layer"],
        heads=heads,
        key_heads=heads if key_heads is None else key_heads,
        head="own" if multi else "shared",
        pool="last",
        padding=padding(folder, config),
        epsilon=config["rms_norm_eps"],
        rotary=config["rope_theta"],
        scale_embeddings=config["scale_emb"],
        scale_depth=config["scale_depth"],
    )


def _encoder(folder: Path, config: Entries) -> Layerwise:
    config.check(ENCODER_FOLLOWED, ENCODER_FIXED, ENCODER_IDLE)
    pool, unit_length = _pooling(folder, config["hidden_size"])
    limit = folder / "sentence_bert_config.json"
    length = Entries.read(limit, "the settings of an embedder").values.get("max_seq_length") if limit.is_file() else None
    return Layerwise(
        shape=(_length(config, USUAL_LENGTH if length is None else length),),
        classes=config["hidden_size"],
        kind="encoder",
        words=config["vocab_size"],
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        start=1,
        heads=config["num_attention_heads"],
        key_heads=config["num_attention_heads"],
        head="none",
        pool=pool,
        unit_length=unit_length,
        padding=padding(folder, config),
        epsilon=config["layer_norm_eps"],
        positions=config["max_position_embeddings"],
        types=config["type_vocab_size"],
    )


ARCHITECTURES: Final[dict[str, Callable[[Path, Entries], Layerwise]]] = {"LayerWiseMiniCPMForCausalLM": _decoder, "BertModel": _encoder}


def _length(config: Entries, length: Any) -> int:
    most = config["max_position_embeddings"]
    if not isinstance(length, int) or not isinstance(most, int):
        raise BadFile(f"{config.path}: texts have {length!r} words, of {most!r} positions", hint="both are positive integers")
    return min(length, most)


def _pooling(folder: Path, width: int) -> tuple[Any, bool]:
    """Which words the vector of a text comes from, and whether it is brought to unit length."""
    path = folder / "modules.json"
    modules = read_json(path, "the list of an embedder's modules, as sentence-transformers writes it")
    try:
        kinds, places = zip(*((str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules), strict=True)
    except (TypeError, KeyError, ValueError) as error:
        raise BadFile(f"{path} is no list of an embedder's modules", hint=HINT) from error
    if [*kinds] not in MODULES:
        raise BadFile(f"{path} has the modules {', '.join(kinds)}", hint="superserve follows Transformer, Pooling and Normalize")
    if Path(places[1]).name != places[1]:
        raise BadFile(f"{path} does not name a folder beside it, but {places[1]!r}", hint=HINT)
    settings = Entries.read(folder / places[1] / CONFIG, "the settings of a pooling")
    modes = {name: value for name, value in settings.values.items() if name.startswith("pooling_mode_")}
    settings.check(modes, {"word_embedding_dimension": width, "include_prompt": True}, ())
    chosen = [name.removeprefix("pooling_mode_") for name, value in modes.items() if value]
    if len(chosen) != 1 or chosen[0] not in POOLS:
        raise BadFile(f"{settings.path} pools by {', '.join(chosen) or 'nothing'}", hint=f"superserve follows one of {', '.join(POOLS)}")
    return POOLS[chosen[0]], len(kinds) == len(MODULES[1])
