"""Local Hugging Face folders: configuration, weights in one file or several, the word for padding. No code in them is ever run."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from superserve_cli.core.files import read_json
from superserve_cli.errors import BadFile
from superserve_cli.supernet.importers import checkpoint

CONFIG: Final = "config.json"
FILES: Final = ("model.safetensors", "pytorch_model.bin")
"""Where weights lie, the first that there is; of several files, with an index beside them."""
INDEX: Final = ".index.json"
HINT: Final = "name a local Hugging Face folder with config.json and model.safetensors: superserve fetches nothing"
PROVENANCE: Final = {"_name_or_path", "architectures", "auto_map", "dtype", "finetuning_task", "torch_dtype", "transformers_version"}
TOKENS: Final = {"bos_token_id", "eos_token_id", "id2label", "label2id", "pad_token_id", "problem_type"}
TRAINING: Final = {"gradient_checkpointing", "initializer_range", "tie_word_embeddings"}
RUNNING: Final = {"_attn_implementation", "attn_implementation", "output_attentions", "output_hidden_states", "return_dict", "use_cache"}
IDLE: Final = PROVENANCE | TOKENS | TRAINING | RUNNING
"""Entries of any config.json that change no output of a model without dropout, cache and tied heads."""


@dataclass(frozen=True)
class Entries:
    """The entries of a JSON file that has to be followed to the letter."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, what: str) -> "Entries":
        """Of a file; raises BadFile."""
        values = read_json(path, what)
        if not isinstance(values, dict):
            raise BadFile(f"{path} is not {what}", hint=HINT)
        return cls(path, values)

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise BadFile(f"{self.path} lacks {name}", hint="a whole folder has it: fetch it again")
        return self.values[name]

    def check(self, followed: Collection[str], fixed: Mapping[str, Any], idle: Collection[str]) -> None:
        """Raises BadFile for entries that are not known, and for those that are not what alone can be followed, where they are given."""
        if unknown := [name for name, value in self.values.items() if name not in {*followed, *fixed, *idle} and value is not None]:
            raise BadFile(
                f"{self.path} has {', '.join(f'{name} {self.values[name]!r}' for name in unknown)}",
                hint="superserve does not know what that changes; remove it from the file if it changes nothing",
            )
        for name, value in fixed.items():
            if self.values.get(name, value) != value:
                raise BadFile(f"{self.path}: {name} is {self.values[name]!r}", hint=f"superserve follows {name} {value!r} alone")


def weights(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a folder, file by file, so that no more than one file is held; raises BadFile."""
    seen: set[str] = set()
    for path in _files(folder):
        found = checkpoint.read(path)
        if twice := sorted(seen & found.keys()):
            raise BadFile(f"{path} has {twice[0]}, which another file has too", hint="fetch the folder again")
        seen |= found.keys()
        for name in [*found]:
            yield name, found.pop(name)


def as_float32(tensor: Tensor) -> Tensor:
    """Half-precision numbers in float32, which holds them exactly; anything else as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _files(folder: Path) -> list[Path]:
    for name in FILES:
        if (folder / name).is_file():
            return [folder / name]
        if (index := folder / f"{name}{INDEX}").is_file():
            return _listed(index)
    raise BadFile(f"{folder} has no {' and no '.join(FILES)}", hint=HINT)


def _listed(index: Path) -> list[Path]:
    """The files that an index names; they lie beside it."""
    named = Entries.read(index, "an index of weights")["weight_map"]
    files = sorted({str(file) for file in named.values()}) if isinstance(named, dict) else []
    if not files or any(Path(file).name != file for file in files):
        raise BadFile(f"{index} does not name files beside it", hint=HINT)
    if missing := [file for file in files if not (index.parent / file).is_file()]:
        raise BadFile(f"{index.parent} has no {', '.join(missing)}", hint=f"{index.name} names {len(files)} files: fetch all")
    return [index.parent / file for file in files]


def padding(folder: Path, config: Entries) -> int:
    """The word that fills texts up: of config.json, or of the tokenizer's files. Raises BadFile where none of them says it."""
    if (word := config.values.get("pad_token_id")) is None:
        word = _words(folder).get(_padding_text(folder) or "")
    if not isinstance(word, int):
        raise BadFile(f"{folder} does not say which word is padding", hint=f"write pad_token_id into {CONFIG}, as your tokenizer has it")
    if word == config.values.get("bos_token_id"):
        raise BadFile(f"{folder}: the word {word} is padding and begins every text", hint=f"write another pad_token_id into {CONFIG}")
    return word


def _padding_text(folder: Path) -> str | None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        token = _maybe(folder / name).get("pad_token")
        if text := token.get("content") if isinstance(token, dict) else token:
            return str(text)
    return None


def _words(folder: Path) -> dict[str, Any]:
    """The special words of a tokenizer by their text."""
    decoder = _maybe(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    added = _maybe(folder / "tokenizer.json").get("added_tokens", [])
    of_decoder = {str(token["content"]): int(word) for word, token in decoder.items()}
    return {**{str(token["content"]): token["id"] for token in added}, **of_decoder}


def _maybe(path: Path) -> Mapping[str, Any]:
    return Entries.read(path, "a description of a tokenizer").values if path.is_file() else {}
