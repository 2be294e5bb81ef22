import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from superserve_cli import tasks
from superserve_cli.errors import BadOption
from superserve_cli.supernet import family
from superserve_cli.supernet.devices import device
from superserve_cli.supernet.families import Architecture
from superserve_cli.training.recipe import Recipe

MOST: Final = 20_000
"""Of so many subnets a build calibrates and evaluates each in hours, if they are small."""


@dataclass(frozen=True)
class Job:
    """A recipe with what it names. `data_hash` is over the training images; `checkpoint` is where the training is kept, if at all."""

    recipe: Recipe
    task: tasks.Task
    architecture: Architecture
    device: torch.device
    data_hash: str
    checkpoint: Path | None = None

    @classmethod
    def of(cls, recipe: Recipe, checkpoint: Path | None = None) -> "Job":
        """Resolve the names of a recipe; raises as `resolve` does."""
        task, architecture, where = resolve(recipe)
        return cls(recipe, task, architecture, where, _hash(task.train), checkpoint)

    def tensors(self, split: tasks.Split) -> tuple[Tensor, Tensor]:
        """Images and labels on the device."""
        return torch.from_numpy(split.x).to(self.device), torch.from_numpy(split.y).to(self.device)


def resolve(recipe: Recipe) -> tuple[tasks.Task, Architecture, torch.device]:
    """What a recipe names, before any work; raises Unknown, BadOption or BadFile for what does not exist or cannot be trained here."""
    make, where = family(recipe.family), device(recipe.device)
    task = tasks.load(recipe.task, recipe.seed)
    architecture = make(shape=task.shape, classes=task.classes)
    if (subnets := architecture.space.size) > MOST:
        raise BadOption(
            f"family {recipe.family} has {subnets:.3g} subnets, and a build calibrates and evaluates each",
            hint="import a trained checkpoint with --from, or take a family with a smaller space",
        )
    return task, architecture, where


def _hash(split: tasks.Split) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(split.x).tobytes())
    digest.update(np.ascontiguousarray(split.y).tobytes())
    return digest.hexdigest()
