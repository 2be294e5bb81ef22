"""A SuperNet on disk: a folder with `weights.safetensors`, `supernet.json`, and a model card for people, `README.md`.

`supernet.json` decides: it holds the hash of the weights that it belongs to. While a SuperNet is replaced, the new weights wait in
a file beside the old ones until `supernet.json` is the new one, and only then take their place. Whenever that is cut short, one
of the two files is the right one, and says so in its header.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from superserve_cli.core.files import read_json, replacing, write_json, write_text
from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadFile, BadOption, SuperserveError
from superserve_cli.supernet import card
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.families import Architecture, families, parameters
from superserve_cli.supernet.supernet import Statistics, SuperNet, channels_last

SCHEMA: Final = "supernet/1"
WEIGHTS: Final = "weights.safetensors"
WAITING: Final = ".weights.safetensors.new"
DESCRIPTION: Final = "supernet.json"
HINT: Final = "write one with `superserve build --out DIR`"
ENTRIES: Final[dict[str, type]] = {
    "name": str,
    "front": list,
    **dict.fromkeys(("subnets", "task", "origin", "recipe", "spread", "versions", "statistics", "predicted"), dict),
}
"""What the entries of a description are that its hash does not cover, and that may be absent."""
KINDS: Final[dict[type, str]] = {str: "a text", list: "a list", dict: "an object"}


def save(folder: Path, supernet: SuperNet) -> None:
    """Write a SuperNet, in float32. Whenever this is killed, the folder holds the SuperNet that it held before, or the new one, whole."""
    held = supernet.to(torch.device("cpu"))
    _settle(folder)
    waiting, description = folder / WAITING, folder / DESCRIPTION
    with replacing(waiting) as temporary:
        _write(temporary, held.tensors(), held.hash)
    try:
        write_json(description, _described(held))
    except BadFile:
        waiting.unlink()
        raise
    waiting.replace(folder / WEIGHTS)
    _write_card(folder, held)


def annotate(folder: Path, supernet: SuperNet, entries: Mapping[str, Any]) -> None:
    """Change entries of a SuperNet's description that its hash does not cover, such as its front; the weights stay as they are.

    Raises BadFile when the folder no longer holds this SuperNet.
    """
    description = _still(folder, supernet)
    write_json(folder / DESCRIPTION, {**description, **entries})
    _write_card(folder, replace(supernet, metadata={**description, **entries}, _programs={}))


def replace_saved(folder: Path, old: SuperNet, new: SuperNet) -> None:
    """Write what became of a SuperNet that was read from a folder; raises BadFile when the folder no longer holds it."""
    _still(folder, old)
    save(folder, new)


def _still(folder: Path, supernet: SuperNet) -> dict[str, Any]:
    _settle(folder)
    description = _description(folder / DESCRIPTION)
    if description.get("hash") != supernet.metadata.get("hash"):
        raise BadFile(f"{folder} holds another SuperNet by now", hint="do it again")
    return description


def _write_card(folder: Path, supernet: SuperNet) -> None:
    write_text(folder / card.NAME, card.card(supernet, folder.resolve().name))


def _described(supernet: SuperNet) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **supernet.metadata,
        "name": supernet.name,
        "family": supernet.family,
        "architecture": supernet.architecture.to_json(),
        "space": supernet.space.to_json(),
        "hash": supernet.hash,
    }


def _write(path: Path, tensors: Mapping[str, Tensor], digest: str) -> None:
    """A safetensors file, one tensor after the other, where the library wants contiguous copies of all of them at once."""
    header: dict[str, Any] = {"__metadata__": {"hash": digest}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.detach().contiguous().numpy().data)


def _settle(folder: Path) -> None:
    """End what a killed `save` began: its weights take their place if `supernet.json` is theirs; what it only began to write goes."""
    waiting, description = folder / WAITING, folder / DESCRIPTION
    try:
        if description.is_file() and _weights(folder, read_json(description, "the description of a SuperNet")) == waiting:
            waiting.replace(folder / WEIGHTS)
        for leftover in folder.glob(f".{WAITING}.*.tmp"):
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise BadFile(f"cannot write to {folder}: {error.strerror}", hint="choose another place") from error


def _weights(folder: Path, metadata: Any) -> Path:
    """The file whose weights belong to a description."""
    usual, waiting = folder / WEIGHTS, folder / WAITING
    wanted = metadata.get("hash") if isinstance(metadata, dict) else None
    return waiting if waiting.is_file() and _hash(waiting) == wanted != _hash(usual) else usual


def _hash(path: Path) -> str | None:
    try:
        with safe_open(path, "pt") as stored:
            return (stored.metadata() or {}).get("hash")
    except (SafetensorError, OSError):
        return None


def load(path: Path | None = None) -> SuperNet:
    """The SuperNet of a folder, or the shipped one; raises BadFile, which names the tensor or the entry that is wrong."""
    folder = Path(str(files(__package__).joinpath("data"))) if path is None else path
    if not folder.is_dir():
        raise BadFile(f"{folder} is not a folder" if folder.exists() else f"there is no {folder}", hint=HINT)
    metadata = _description(folder / DESCRIPTION)
    architecture = _architecture(folder / DESCRIPTION, metadata)
    weights, statistics = _sorted_tensors(_weights(folder, metadata), architecture)
    supernet = SuperNet(metadata["family"], architecture, channels_last(weights), statistics, metadata)
    if supernet.hash != metadata.get("hash"):
        raise BadFile(f"{folder}: {WEIGHTS} and {DESCRIPTION} do not belong together", hint=HINT)
    for what, ids in {"the front": supernet.front, "subnets": metadata.get("subnets", ())}.items():
        if strangers := [subnet for subnet in ids if subnet not in supernet.space]:
            raise BadFile(f"{folder / DESCRIPTION}: {what} has {strangers[0]!r}, which is no subnet of the space", hint=HINT)
    return supernet


def _description(path: Path) -> dict[str, Any]:
    metadata = read_json(path, "the description of a SuperNet")
    schema = metadata.get("schema") if isinstance(metadata, dict) else None
    if schema != SCHEMA:
        raise BadFile(f"{path} holds {schema or 'no schema that we know'}, not {SCHEMA}", hint=HINT)
    predicted = metadata.get("predicted")
    _check_kinds(path, metadata, ENTRIES)
    _check_kinds(path, predicted or {}, {"subnets": dict}, "predicted.")
    for name, entries in (("subnets", metadata), ("predicted.subnets", predicted or {})):
        subnets = entries.get("subnets", {})
        _check_kinds(path, subnets, dict.fromkeys(subnets, dict), f"{name}.")
    return dict(metadata)


def _check_kinds(path: Path, found: dict[str, Any], kinds: Mapping[str, type], before: str = "") -> None:
    for name, kind in kinds.items():
        if name in found and not isinstance(found[name], kind):
            raise BadFile(f"{path}: {before}{name} is {json.dumps(found[name])[:40]}, not {KINDS[kind]}", hint=HINT)


def _architecture(path: Path, metadata: dict[str, Any]) -> Architecture:
    family, settings, known = str(metadata.get("family")), metadata.get("architecture"), families()
    if family not in known:
        raise BadFile(f"{path}: no family {family!r}", hint=f"this superserve knows {', '.join(known)}")
    if not isinstance(settings, dict):
        raise BadFile(f"{path} has no architecture", hint=HINT)
    try:
        return known[family](**{name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()})
    except (TypeError, SuperserveError) as error:
        raise BadFile(f"{path}: the architecture is not one of family {family}: {error}", hint=HINT) from error


def _sorted_tensors(path: Path, architecture: Architecture) -> tuple[dict[str, Tensor], dict[str, Statistics]]:
    tensors = _read(path)
    weights = parameters(architecture)
    channels = _channels(path, architecture, [name.removeprefix("mean/") for name in tensors if name.startswith("mean/")])
    own = {f"{part}/{subnet}": (count,) for subnet, count in channels.items() for part in Statistics._fields}
    _compare(path, tensors, {**weights, **own})
    return (
        {name: tensors[name] for name in weights},
        {subnet: Statistics(*(tensors[f"{part}/{subnet}"] for part in Statistics._fields)) for subnet in channels},
    )


def _channels(path: Path, architecture: Architecture, subnets: list[Subnet]) -> dict[Subnet, int]:
    """How many channels the norm layers of each subnet have, the subnets in the order of the space."""
    space, points = architecture.space, []
    for subnet in subnets:
        try:
            points.append(space.parse(subnet))
        except BadOption as error:
            raise BadFile(f"{path}: tensor mean/{subnet} names no subnet of the space", hint=space.example) from error
    points.sort(key=lambda point: tuple(point.settings.values()))
    return {point.id: sum(norm.channels for norm in plans.norms(architecture.plan(point))) for point in points}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=HINT) from None
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is not a whole safetensors file: {error}", hint=HINT) from error


def _compare(path: Path, found: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> None:
    for what, names in (("lacks", expected.keys() - found.keys()), ("has the unknown", found.keys() - expected.keys())):
        if names:
            raise BadFile(f"{path} {what} tensor{'s' * (len(names) > 1)} {_some(names)}", hint=HINT)
    for name, shape in expected.items():
        tensor = found[name]
        if tuple(tensor.shape) != shape:
            raise BadFile(f"{path}: tensor {name} has the shape {tuple(tensor.shape)}, not {shape}", hint=HINT)
        if tensor.dtype != torch.float32:
            raise BadFile(f"{path}: tensor {name} holds {tensor.dtype}, not torch.float32", hint=HINT)
        if not tensor.isfinite().all():
            raise BadFile(f"{path}: tensor {name} holds NaN or infinity", hint="a training that went astray; build it again")


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
