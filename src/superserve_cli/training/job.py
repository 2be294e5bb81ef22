import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from superserve_cli import tasks
from superserve_cli.supernet import family
from superserve_cli.supernet.devices import device
from superserve_cli.supernet.families import Architecture
from superserve_cli.training.recipe import Recipe


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
        """Resolve the names of a recipe; raises Unknown, BadOption or BadFile for what does not exist."""
        make, where = family(recipe.family), device(recipe.device)
        task = tasks.load(recipe.task, recipe.seed)
        architecture = make(shape=task.shape, classes=task.classes)
        return cls(recipe, task, architecture, where, _hash(task.train), checkpoint)

    def tensors(self, split: tasks.Split) -> tuple[Tensor, Tensor]:
        """Images and labels on the device."""
        return torch.from_numpy(split.x).to(self.device), torch.from_numpy(split.y).to(self.device)


def _hash(split: tasks.Split) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(split.x).tobytes())
    digest.update(np.ascontiguousarray(split.y).tobytes())
    return digest.hexdigest()
