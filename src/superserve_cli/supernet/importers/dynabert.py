"""Checkpoints of DynaBERT: BertForSequenceClassification of Hugging Face Transformers, full width, as a file or in its folder.

A BERT that DynaBERT did not train fits too, but the first of its heads and neurons are not the most important ones: its narrow
subnets answer badly.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from superserve_cli.core.files import read_json
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.supernet.dynabert import PLANES, DynaBert
from superserve_cli.supernet.families import parameters
from superserve_cli.supernet.importers import checkpoint
from superserve_cli.supernet.supernet import SuperNet, channels_last

FILES: Final = ("model.safetensors", "pytorch_model.bin")
"""The parameters in a folder; `vocab.txt` and `training_args.bin` beside them are not read."""
CONFIG: Final = "config.json"
BUFFER: Final = "bert.embeddings.position_ids"
"""0, 1, 2, ...: later versions of Transformers keep it among the parameters."""
OLD: Final = {"gamma": "weight", "beta": "bias"}
"""How the first versions called the parameters of LayerNorm."""
LENGTH: Final = 128
"""Words of an input, unless there are fewer positions: the most that DynaBERT was trained with."""
HEAD: Final = 64
"""Dimensions of a head of every published BERT: tells the heads where there is no config.json."""
SETTINGS: Final = {
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "layers": "num_hidden_layers",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "types": "type_vocab_size",
    "padding": "pad_token_id",
    "epsilon": "layer_norm_eps",
}
"""Settings of the family, and their names in config.json."""
SHARED: Final = {"depth_mult": "layers", "width_mult": "heads"}
"""Shares, and what they are shares of: one that would leave nothing of a small model is left out."""
NEEDED: Final = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
"""What config.json has to say where it says anything about it."""
SIZES: Final = {
    "classes": ("classifier.weight", 0),
    "hidden": ("bert.embeddings.word_embeddings.weight", 1),
    "vocabulary": ("bert.embeddings.word_embeddings.weight", 0),
    "positions": ("bert.embeddings.position_embeddings.weight", 0),
    "types": ("bert.embeddings.token_type_embeddings.weight", 0),
    "ffn": ("bert.encoder.layer.0.intermediate.dense.weight", 0),
}
"""Settings of the family, and the dimension of a parameter that shows them."""


def dynabert(path: Path) -> SuperNet:
    """The SuperNet in a checkpoint of DynaBERT, or in the folder that holds it; raises BadFile."""
    file = _file(path)
    found = _present(checkpoint.read(file))
    architecture = _architecture(file, found)
    weights = checkpoint.strict(file, found, parameters(architecture))
    imported = SuperNet("dynabert", architecture, channels_last(weights), {})
    known = {s: {"macs": imported.macs(s), "params": imported.params(s)} for s in imported.space.enumerate()}
    return replace(imported, metadata={"subnets": known}, _programs={})


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if file := next((path / name for name in FILES if (path / name).is_file()), None):
        return file
    raise BadFile(f"{path} holds neither {' nor '.join(FILES)}", hint="name the folder of a downloaded model, or the file itself")


def _present(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names of today, without the buffer that is none."""
    named = {re.sub(r"(?<=\.LayerNorm\.)(gamma|beta)$", lambda old: OLD[old[0]], name): tensor for name, tensor in tensors.items()}
    named.pop(BUFFER, None)
    return named


def _architecture(file: Path, found: Mapping[str, Tensor]) -> DynaBert:
    config = file.with_name(CONFIG)
    settings = _shown(found) | (_configured(config) if file.name in FILES and config.is_file() else {})
    for mult, of in SHARED.items():
        if isinstance(count := settings.get(of), int):
            settings[mult] = tuple(share for share in getattr(DynaBert, mult) if round(share * count))
    try:
        positions = settings.get("positions", LENGTH)
        return DynaBert(shape=(PLANES, min(LENGTH, positions) if isinstance(positions, int) else LENGTH), **settings)
    except BadOption as error:
        raise BadFile(f"{file}: {error}", hint=error.hint) from error


def _shown(found: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the shapes of the parameters say; what they do not, as in BERT-base."""
    settings = {name: found[of].shape[at] for name, (of, at) in SIZES.items() if of in found and found[of].ndim == 2}
    blocks = {int(block[1]) for name in found if (block := re.match(r"bert\.encoder\.layer\.(\d+)\.", name))}
    if blocks:
        settings["layers"] = max(blocks) + 1
    if "hidden" in settings:
        settings["heads"] = max(1, settings["hidden"] // HEAD)
    return settings


def _configured(config: Path) -> dict[str, Any]:
    described = read_json(config, "the configuration of a model")
    if not isinstance(described, dict):
        raise BadFile(f"{config} holds no settings", hint="it is the file that Transformers writes beside a model")
    for name, value in NEEDED.items():
        if (theirs := described.get(name, value)) != value:
            raise BadFile(f"{config}: {name} is {theirs!r}, not {value!r}", hint="--family dynabert imports BERT for classification")
    return {name: described[theirs] for name, theirs in SETTINGS.items() if theirs in described}
