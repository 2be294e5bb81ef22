"""Checkpoint files of other code bases: tensors by name, and nothing but tensors is ever unpickled."""

import re
import struct
import warnings
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from superserve_cli.errors import BadFile

Shape = tuple[int, ...]
WRAPPERS: Final = ("state_dict", "model")
"""Under which of its entries a training script keeps the parameters, beside its epoch and its optimizer."""
PARALLEL: Final = "module."
"""What torch.nn.DataParallel puts before every name."""
OUT_OF_MEMORY: Final = "you tried to allocate"
"""How torch says that the system gave it no memory."""
NAMED: Final = 3
"""How many parameters an error names before it says how many more there are."""
HINT: Final = "name the file that torch.save wrote, or a .safetensors file"
SIGNS: Final = {
    "a checkpoint of --family ofa-resnet50": r"input_stem\.0\.conv\.conv\.weight",
    "a checkpoint of --family ofa-mbv3": r"blocks\.\d+\.(conv|mobile_inverted_conv)\.depth_conv\.conv\.conv\.weight",
    "one extracted subnet of OFA-ResNet50, not the SuperNet": r"input_stem\.0\.conv\.weight",
    "one extracted subnet of OFA-MobileNetV3, not the SuperNet": r"blocks\.1\.(conv|mobile_inverted_conv)\.depth_conv\.conv\.weight",
    "a checkpoint of --family dynabert": r"bert\.embeddings\.word_embeddings\.weight",
    "a checkpoint of --family layerwise": r"model\.layers\.0\.self_attn\.q_proj\.weight",
}
"""What a checkpoint with a parameter of such a name looks like."""


def read(path: Path) -> dict[str, Tensor]:
    """The parameters in a file of torch.save or safetensors, without what is wrapped around them.

    Raises BadFile for a file that is not whole, that is no such file, or that has to run code to be read.
    """
    found = _parameters(path, _content(path))
    if found and all(name.startswith(PARALLEL) for name in found):
        found = {name.removeprefix(PARALLEL): tensor for name, tensor in found.items()}
    return found


def strict(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> dict[str, Tensor]:
    """The expected parameters, float32 and in that order.

    Raises BadFile, which names those that are missing, unknown, of another shape, of a type that float32 cannot hold, or not finite.
    """
    shapes = {name: tuple(found[name].shape) for name in expected if name in found}
    misshaped = [f"{name} {shape}, not {expected[name]}" for name, shape in shapes.items() if shape != expected[name]]
    wrong = {
        "lacks": [name for name in expected if name not in found],
        "has the unknown": [name for name in found if name not in expected],
        "has in another shape": misshaped,
        "has as other numbers than float32 can hold": [f"{n} {found[n].dtype}" for n in shapes if not _fits(found[n])],
        "has NaN or infinity in": [name for name in shapes if found[name].is_floating_point() and not found[name].isfinite().all()],
    }
    if complaints := [f"{what} {_some(names)}" for what, names in wrong.items() if names]:
        raise BadFile(f"{path} {'; '.join(complaints)}", hint=_likeness(found, expected))
    return {name: found[name].float() for name in expected}


def looks_like(names: Mapping[str, Any]) -> str | None:
    """What a checkpoint with such parameters looks like, if it can be told."""
    return next((what for what, sign in SIGNS.items() if any(re.fullmatch(sign, name) for name in names)), None)


def _content(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=HINT) from None
    except IsADirectoryError:
        raise BadFile(f"{path} is a folder", hint=HINT) from None
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}", hint=HINT) from error
    if not start:
        raise BadFile(f"{path} is empty", hint="fetch it again")
    return _safetensors(path) if start[8:] == b"{" else _pickled(path)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is not a whole safetensors file: {error}", hint="fetch it again") from error


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # what torch.load supposes about a file that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if code := re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error)):
            raise BadFile(
                f"{path} holds code to run, {code[1]}: superserve reads nothing but tensors",
                hint="if you trust the file, load it where it comes from and torch.save its state_dict alone",
            ) from error
        raise BadFile(f"{path} is not a checkpoint, or not a whole one", hint=HINT) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, struct.error) as error:
        if OUT_OF_MEMORY in str(error):
            raise MemoryError from error
        why = re.split(r"\n|\. ", str(error).strip())[0] or type(error).__name__
        raise BadFile(f"{path} is not a checkpoint, or not a whole one: {why}", hint=f"fetch it again, or {HINT}") from error


def _parameters(path: Path, content: Any) -> dict[str, Tensor]:
    for _ in WRAPPERS:  # each at most once: a pickle may hold itself
        wrapper = next((w for w in WRAPPERS if isinstance(content.get(w), Mapping)), None) if isinstance(content, Mapping) else None
        content = content if wrapper is None else content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise BadFile(f"{path} holds no parameters by name", hint=HINT)
    if others := [f"{name} ({type(value).__name__})" for name, value in content.items() if not isinstance(value, Tensor)]:
        raise BadFile(f"{path} has entries that are not tensors: {_some(others)}", hint=f"parameters may lie under {' or '.join(WRAPPERS)}")
    if packed := [name for name, tensor in content.items() if tensor.layout != torch.strided or tensor.is_meta]:
        raise BadFile(f"{path} has no plain numbers in {_some([*map(str, packed)])}", hint="torch.save its dense tensors")
    return {str(name): tensor for name, tensor in content.items()}


def _fits(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float32, torch.float16, torch.bfloat16)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(islice(names, NAMED)) + more


def _likeness(found: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> str:
    likeness = looks_like(found)
    return f"it looks like {likeness}" if likeness and likeness != looks_like(expected) else "the checkpoint has to fit exactly"
