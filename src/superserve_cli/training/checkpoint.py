"""An unfinished training in one safetensors file, which is replaced as a whole.

A step's random numbers depend on the recipe's seed and the step's number alone, so weights, optimizer state and the number of
steps are all that has to be kept.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as encode
from torch import Tensor

from superserve_cli.core.files import replacing
from superserve_cli.errors import BadFile
from superserve_cli.training.recipe import Recipe

SCHEMA: Final = "checkpoint/1"
NAME: Final = "checkpoint.safetensors"


@dataclass
class State:
    """Where a training stands: `weights` are the optimizer's leaves by name, `done` counts steps, `cpu_s` the CPU time so far."""

    weights: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    done: int = 0
    cpu_s: float = 0.0


def write(path: Path, state: State, recipe: Recipe, data: str) -> None:
    """Keep a training: everything that `restore` needs to go on as if nothing had happened."""
    tensors = {f"weight/{name}": w.detach() for name, w in state.weights.items()}
    for name, w in state.weights.items():
        tensors |= {f"{key}/{name}": value for key, value in state.optimizer.state[w].items()}
    described = {"schema": SCHEMA, "recipe": recipe.to_json(), "data": data, "done": state.done, "cpu_s": state.cpu_s}
    with replacing(path) as temporary:
        temporary.write_bytes(encode({name: t.cpu().contiguous() for name, t in tensors.items()}, {"superserve": json.dumps(described)}))


def restore(path: Path, state: State) -> None:
    """Set weights, optimizer and counters to those of a checkpoint of the same recipe."""
    described, tensors = _read(path)
    with torch.no_grad():
        for name, w in state.weights.items():
            w.copy_(tensors.pop(f"weight/{name}"))
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        like = state.weights[name]
        # Adam counts steps on the CPU; its moments lie like the weight that they belong to
        state.optimizer.state[like][part] = torch.empty_like(like).copy_(tensor).detach() if tensor.shape == like.shape else tensor
    state.done, state.cpu_s = described["done"], described["cpu_s"]


def belongs(path: Path, recipe: Recipe) -> bool:
    """Whether a file is the checkpoint of an unfinished build of this recipe."""
    try:
        with safe_open(path, "pt") as stored:
            return bool(_description(stored)["recipe"] == recipe.to_json())
    except (SafetensorError, OSError, ValueError, KeyError):
        return False


def data_hash(path: Path) -> str:
    """The hash of the images that a checkpoint was trained on."""
    return str(_read(path)[0]["data"])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as stored:
            return _description(stored), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is not a whole checkpoint: {error}", hint="start again with --overwrite") from error


def _description(stored: Any) -> dict[str, Any]:
    return dict(json.loads((stored.metadata() or {})["superserve"]))
