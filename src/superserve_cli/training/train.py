import math
import time
from typing import Any, Final

import torch
from torch import Tensor

from superserve_cli.core.nouns import Progress, silent
from superserve_cli.errors import BadFile
from superserve_cli.supernet.supernet import channels_last
from superserve_cli.training import checkpoint
from superserve_cli.training.checkpoint import State
from superserve_cli.training.initial import initial_weights
from superserve_cli.training.job import Job
from superserve_cli.training.recipe import Recipe
from superserve_cli.training.sandwich import backward, batch_of, learning_rate, sandwich

CHECKPOINT_EVERY: Final = 10
"""Steps between checkpoints: what an interrupted build has to repeat is a few seconds at most."""


def train(job: Job, progress: Progress = silent) -> State:
    """Train all subnets together, from the job's checkpoint on.

    Raises BadFile for a checkpoint of other images, and for images on which the loss grows beyond all numbers.
    """
    state = _begun(job)
    x, y = job.tensors(job.task.train)
    for step in range(state.done, job.recipe.steps):
        started = time.process_time()
        loss, accuracy = _step(job, state, step, x, y)
        if not math.isfinite(loss):
            raise BadFile(f"{job.recipe.task}: the loss is {loss} at step {step + 1}", hint="scale the images to about -1..1")
        state.done, state.cpu_s = step + 1, state.cpu_s + time.process_time() - started
        if job.checkpoint and (state.done % CHECKPOINT_EVERY == 0 or state.done == job.recipe.steps):
            checkpoint.write(job.checkpoint, state, job.recipe, job.data_hash)
        progress(state.done, job.recipe.steps, f"loss {loss:.3f}, accuracy {accuracy:.0%}")
    return state


def _begun(job: Job) -> State:
    """The state that the job's checkpoint holds, or a new one."""
    state = _new(job)
    if job.checkpoint and job.checkpoint.exists():
        if checkpoint.data_hash(job.checkpoint) != job.data_hash:
            raise BadFile(f"{job.checkpoint} was trained on other images", hint="start again with --overwrite")
        checkpoint.restore(job.checkpoint, state)
    return state


def _new(job: Job) -> State:
    weights = channels_last({name: w.to(job.device) for name, w in initial_weights(job.architecture, job.recipe.seed).items()})
    for w in weights.values():
        w.requires_grad_()
    return State(weights, _optimizer(weights, job.recipe))


def _optimizer(weights: dict[str, Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": [w for w in weights.values() if w.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [w for w in weights.values() if w.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99))


def _step(job: Job, state: State, step: int, x: Tensor, y: Tensor) -> tuple[float, float]:
    recipe, architecture = job.recipe, job.architecture
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, recipe)
    chosen = torch.from_numpy(batch_of(step, recipe, len(y))).to(job.device)
    plans = [architecture.plan(architecture.space.parse(subnet)) for subnet in sandwich(architecture, recipe, step)]
    state.optimizer.zero_grad()
    seen = backward(plans, state.weights, x[chosen], y[chosen])
    state.optimizer.step()
    return seen
