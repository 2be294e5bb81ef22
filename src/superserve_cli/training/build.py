"""A SuperNet from a recipe: train, calibrate, evaluate, choose the front."""

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import safetensors
import torch
from torch import Tensor

from superserve_cli import __version__
from superserve_cli.core.nouns import Progress, Subnet, silent
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.plan import norms
from superserve_cli.supernet.program import bind, by_statistics, views
from superserve_cli.supernet.supernet import NO_STATISTICS, Statistics
from superserve_cli.training.calibrate import BATCH, calibrate
from superserve_cli.training.evaluate import Correct, correct, front, spread
from superserve_cli.training.job import Job
from superserve_cli.training.recipe import Recipe
from superserve_cli.training.train import train

THREADS: Final = 1
"""More threads would not spend less CPU time on layers this small, and would round differently from machine to machine."""


class Answers(NamedTuple):
    """Which images of two splits a subnet classifies correctly."""

    validation: Correct
    test: Correct


def build(recipe: Recipe, checkpoint: Path | None = None, progress: Progress = silent) -> SuperNet:
    """Follow a recipe, from its checkpoint on where there is one.

    Raises Unknown, BadOption or BadFile before any work when the recipe names what does not exist.
    """
    with _threads(THREADS):
        clock = time.process_time
        started = clock()
        job = Job.of(recipe, checkpoint)
        total = recipe.steps + job.architecture.space.size
        prepared = clock()
        state = train(job, lambda done, _, note: progress(done, total, note))
        trained = clock()
        weights = {name: w.detach() for name, w in state.weights.items()}
        statistics, answers = _measured(job, weights, lambda done, note: progress(recipe.steps + done, total, note))
        cpu_s = prepared - started + state.cpu_s + clock() - trained
    supernet = SuperNet(recipe.family, job.architecture, weights, statistics)
    return replace(supernet, metadata=_metadata(job, supernet, answers, cpu_s))


def _measured(
    job: Job, weights: Mapping[str, Tensor], progress: Callable[[int, str], None]
) -> tuple[dict[Subnet, Statistics], dict[Subnet, Answers]]:
    """Statistics of every subnet that needs some, from training inputs, and its answers on validation and test images."""
    space, images = job.architecture.space, job.tensors(job.task.train)[0][: job.recipe.calibration]
    validation, test = job.tensors(job.task.validation), job.tensors(job.task.test)
    statistics: dict[Subnet, Statistics] = {}
    answers: dict[Subnet, Answers] = {}
    for done, subnet in enumerate(space.enumerate(), 1):
        plan = job.architecture.plan(space.parse(subnet))
        if norms(plan):
            statistics[subnet] = calibrate(plan, weights, torch.split(images, BATCH))
        program = bind(plan, views(weights), by_statistics(plan, views(weights), *statistics.get(subnet, NO_STATISTICS)))
        answers[subnet] = Answers(correct(program, *validation), correct(program, *test))
        progress(done, f"{'calibrated' if subnet in statistics else 'evaluated'} {subnet}: {answers[subnet].validation.mean():.1%}")
    return statistics, answers


def _metadata(job: Job, supernet: SuperNet, answers: Mapping[Subnet, Answers], cpu_s: float) -> dict[str, Any]:
    rows = {
        subnet: {
            "macs": supernet.macs(subnet),
            "params": supernet.params(subnet),
            "validation": float(own.validation.mean()),
            "test": float(own.test.mean()),
        }
        for subnet, own in answers.items()
    }
    best = front({s: int(row["macs"]) for s, row in rows.items()}, {s: row["validation"] for s, row in rows.items()})
    span = spread([answers[subnet].test for subnet in best])
    return {
        "name": f"{job.recipe.family}-{job.task.name}",
        "task": {"name": job.recipe.task, "seed": job.recipe.seed, "data": job.data_hash, "labels": list(job.task.labels)},
        "front": list(best),
        "spread": {"accuracy": span.accuracy, "standard_error": span.standard_error, "images": len(job.task.test.y)},
        "subnets": rows,
        "recipe": {"command": job.recipe.command, **job.recipe.to_json(), "cpu_s": round(cpu_s, 1), "threads": THREADS},
        "versions": {
            "superserve": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "safetensors": safetensors.__version__,
        },
    }


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
