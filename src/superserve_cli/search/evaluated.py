"""How accurate some subnets are on labelled images, each with statistics of its own."""

from collections.abc import Sequence

import torch

from superserve_cli.core.nouns import Progress, Subnet, silent
from superserve_cli.errors import BadOption
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.program import Program, bind, by_statistics, views
from superserve_cli.tasks import Task
from superserve_cli.training.calibrate import BATCH, calibrate
from superserve_cli.training.evaluate import correct

CALIBRATION = 512
"""How many training images a subnet's statistics are taken from: enough to rank subnets by."""


def evaluate(supernet: SuperNet, subnets: Sequence[Subnet], task: Task, progress: Progress = silent) -> dict[Subnet, float]:
    """The share of validation images that each subnet classifies correctly; raises BadOption for a task of other images or classes."""
    architecture = supernet.architecture
    if tuple(task.shape) != tuple(architecture.shape) or task.classes > architecture.classes:
        raise BadOption(
            f"{task.name} has images of {tuple(task.shape)} in {task.classes} classes, {supernet.name} takes "
            f"{tuple(architecture.shape)} in {architecture.classes}",
            hint="name the data that it was trained on with --data",
        )
    device = next(iter(supernet.weights.values())).device
    images = torch.from_numpy(task.train.x[:CALIBRATION]).to(device)
    x, y = (torch.from_numpy(part).to(device) for part in task.validation)
    found: dict[Subnet, float] = {}
    for done, subnet in enumerate(subnets, 1):
        found[subnet] = float(correct(_program(supernet, subnet, images), x, y).mean())
        progress(done, len(subnets), f"{subnet}: {found[subnet]:.1%}")
    return found


def _program(supernet: SuperNet, subnet: Subnet, images: torch.Tensor) -> Program:
    if supernet.runs(subnet):
        return supernet.program(subnet)
    plan, take = supernet.plan(subnet), views(supernet.weights)
    return bind(plan, take, by_statistics(plan, take, *calibrate(plan, supernet.weights, torch.split(images, BATCH))))
