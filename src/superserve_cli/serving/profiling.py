"""What `superserve profile` measures: a worker's subnets, and inputs of the task that its SuperNet learnt, or of none."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli import tasks
from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption
from superserve_cli.profiles import accuracy
from superserve_cli.profiles.accuracy import Judge
from superserve_cli.profiles.subject import Subject
from superserve_cli.serving.model import Model
from superserve_cli.serving.workers.resident import Resident

RANDOM_INPUTS: Final = 64
"""So many show how often two subnets agree, to about 6 points, and cost little beside the latencies."""


def subject(held: Resident, subnets: Sequence[Subnet], batch_sizes: tuple[int, ...], task: str | None, seed: int) -> Subject:
    """Some subnets of what a worker holds, to be measured at some batch sizes; `task` (as `tasks.load` takes it) has the labels.

    Without it they come from the SuperNet's own task. A SuperNet that names none is timed on random inputs, and its accuracies are
    those that its maker has measured, else those that a search has predicted, else its agreement with its largest subnet.
    """
    x, judge = _judge(held, subnets, task, seed)
    return Subject(
        supernet=held.model.name,
        supernet_hash=held.model.hash,
        subnets=tuple(subnets),
        batch_sizes=batch_sizes,
        worker=held.worker,
        x=x,
        judge=judge,
        seed=seed,
        cost=held.cost,
        predicted=held.predicted,
    )


def _judge(held: Resident, subnets: Sequence[Subnet], task: str | None, seed: int) -> tuple[NDArray[Any], Judge]:
    if (name := task or held.model.task) is not None:
        return _measured(held.model, name)
    x = inputs(held.model, RANDOM_INPUTS, seed)
    predicted = {s: row["accuracy"] for s, row in (held.predicted.get("subnets") or {}).items() if row.get("accuracy") is not None}
    if held.accuracies.keys() >= set(subnets):
        return x, accuracy.told(accuracy.DECLARED, held.accuracies, "accuracies that the SuperNet's maker measured")
    if predicted.keys() >= set(subnets):
        return x, accuracy.told(accuracy.PREDICTED, predicted, "accuracies that a search predicted")
    return x, accuracy.agreement(x, held.largest, f"{RANDOM_INPUTS} random inputs, seed {seed}: agreement with {held.largest}")


def _measured(model: Model, name: str) -> tuple[NDArray[Any], Judge]:
    task = tasks.load(name, (model.seed or 0) if name == model.task else 0)
    x, y = task.test
    if x.shape[1:] != model.shape or task.classes > model.classes or (x.dtype.kind == "f") != (model.dtype.kind == "f"):
        raise BadOption(
            f"the task {task.name} has {task.classes} classes of {x.dtype} inputs {list(x.shape[1:])}, "
            f"{model.name} tells {model.classes} of {model.dtype} inputs {list(model.shape)} apart",
            hint="name the task that the SuperNet learnt: --task npz:FILE",
        )
    return x, accuracy.measured(x, y, f"{task.name}, {len(y)} test {'images' if x.ndim == 4 else 'inputs'}")


def inputs(model: Model, rows: int, seed: int) -> NDArray[Any]:
    """Random inputs (rows, *shape) that a model takes: of a normal distribution, pixels, or words, the first (padding) left out."""
    rng = np.random.default_rng(seed)
    shape = (rows, *model.shape)
    if model.dtype.kind == "u":
        return rng.integers(256, size=shape, dtype=np.uint8)
    if not model.vocabulary:
        return rng.standard_normal(shape).astype(model.dtype)
    words = rng.integers(min(1, model.vocabulary[0] - 1), model.vocabulary[0], shape)
    if len(model.shape) > 1:
        words[:, 1] = rng.integers(model.vocabulary[-1], size=words[:, 1].shape)
    return words
