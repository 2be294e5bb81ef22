"""A SuperNet on disk: a folder with `weights.safetensors` and `supernet.json`."""

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as encode
from torch import Tensor

from superserve_cli.core.files import read_json, replacing, write_json
from superserve_cli.errors import BadFile, SuperserveError
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.families import Architecture, families, parameters
from superserve_cli.supernet.supernet import Statistics, SuperNet, channels_last

SCHEMA: Final = "supernet/1"
WEIGHTS: Final = "weights.safetensors"
DESCRIPTION: Final = "supernet.json"
HINT: Final = "write one with `superserve build --out DIR`"


def save(folder: Path, supernet: SuperNet) -> None:
    """Write a SuperNet. `supernet.json` comes last and holds the hash of the rest, so a folder that is not whole is not read."""
    description = folder / DESCRIPTION
    try:
        description.unlink(missing_ok=True)
    except OSError as error:
        raise BadFile(f"cannot write {description}: {error.strerror}", hint="choose another place") from error
    with replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(encode({name: tensor.cpu().contiguous() for name, tensor in supernet.tensors().items()}))
    write_json(
        description,
        {
            "schema": SCHEMA,
            **supernet.metadata,
            "name": supernet.name,
            "family": supernet.family,
            "architecture": supernet.architecture.to_json(),
            "space": supernet.space.to_json(),
            "hash": supernet.hash,
        },
    )


def load(path: Path | None = None) -> SuperNet:
    """The SuperNet of a folder, or the shipped one; raises BadFile, which names the tensor or the entry that is wrong."""
    folder = Path(str(files(__package__).joinpath("data"))) if path is None else path
    if not folder.is_dir():
        raise BadFile(f"{folder} is not a folder" if folder.exists() else f"there is no {folder}", hint=HINT)
    metadata = _description(folder / DESCRIPTION)
    architecture = _architecture(folder / DESCRIPTION, metadata)
    weights, statistics = _sorted_tensors(folder / WEIGHTS, architecture)
    supernet = SuperNet(metadata["family"], architecture, channels_last(weights), statistics, metadata)
    if supernet.hash != metadata.get("hash"):
        raise BadFile(f"{folder}: {WEIGHTS} and {DESCRIPTION} do not belong together", hint=HINT)
    if strangers := [subnet for subnet in supernet.front if subnet not in supernet.space]:
        raise BadFile(f"{folder / DESCRIPTION}: the front has {strangers[0]!r}, which is no subnet of the space", hint=HINT)
    return supernet


def _description(path: Path) -> dict[str, Any]:
    metadata = read_json(path, "the description of a SuperNet")
    schema = metadata.get("schema") if isinstance(metadata, dict) else None
    if schema != SCHEMA:
        raise BadFile(f"{path} holds {schema or 'no schema that we know'}, not {SCHEMA}", hint=HINT)
    return dict(metadata)


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
    space = architecture.space
    weights = parameters(architecture)
    subnets = [name.removeprefix("mean/") for name in tensors if name.startswith("mean/")]
    expected: dict[str, tuple[int, ...]] = dict(weights)
    for subnet in subnets:
        if subnet not in space:
            raise BadFile(f"{path}: tensor mean/{subnet} names no subnet of the space", hint=space.example)
        channels = sum(norm.channels for norm in plans.norms(architecture.plan(space.parse(subnet))))
        expected |= {f"mean/{subnet}": (channels,), f"variance/{subnet}": (channels,)}
    _compare(path, tensors, expected)
    return (
        {name: tensors[name] for name in weights},
        {subnet: Statistics(tensors[f"mean/{subnet}"], tensors[f"variance/{subnet}"]) for subnet in sorted(subnets, key=space.order)},
    )


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
