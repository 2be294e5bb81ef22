"""What SubnetNorm is worth: each subnet with its own statistics against the largest subnet's, cut to its channels."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from superserve_cli import tasks
from superserve_cli.core.nouns import Progress, Subnet, silent
from superserve_cli.errors import BadOption
from superserve_cli.supernet import Statistics, SuperNet
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.layers import Norm
from superserve_cli.supernet.program import Program, bind, by_statistics, views
from superserve_cli.training.evaluate import correct
from superserve_cli.training.images import check_shape, needs_statistics


class Worth(NamedTuple):
    """Test accuracy of a subnet with its own statistics, and with those of the largest subnet."""

    subnet: Subnet
    own: float
    shared: float

    @property
    def lost(self) -> float:
        """What sharing costs."""
        return self.own - self.shared


class Both(NamedTuple):
    """A subnet with its own statistics, and with those of the largest."""

    own: Program
    shared: Program


def shared(supernet: SuperNet, subnet: Subnet) -> Statistics:
    """The largest subnet's statistics on the channels of a subnet, as Once-for-All's `copy_bn` takes them when it extracts one.

    Raises BadOption where the largest subnet is not calibrated.
    """
    largest = supernet.space.largest
    if largest not in supernet.statistics:
        raise BadOption(f"the largest subnet, {largest}, has no statistics to share", hint="`superserve calibrate --subnets largest`")
    norms = plans.norms(supernet.plan(largest))
    split = [torch.split(each, [norm.channels for norm in norms]) for each in supernet.statistics[largest]]
    held = {norm.scale.parameter: (norm, *own) for norm, *own in zip(norms, *split, strict=True)}
    cut = [_cut(norm, *held[norm.scale.parameter]) for norm in plans.norms(supernet.plan(subnet))]
    return Statistics(torch.cat([mean for mean, _ in cut]), torch.cat([variance for _, variance in cut]))


def _cut(norm: Norm, full: Norm, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    (wanted,), (there,) = norm.scale.ranges, full.scale.ranges
    places = torch.tensor([there.index(channel) for channel in wanted])
    return mean[places], variance[places]


def both(supernet: SuperNet, subnets: list[Subnet], task: tasks.Task) -> dict[Subnet, Both]:
    """Each subnet with either statistics; raises BadOption for subnets that are not calibrated, and for a task that does not fit."""
    needs_statistics(supernet)
    check_shape(supernet, task.name, task.test.x)
    take, found = views(supernet.weights), {}
    for subnet in subnets:
        plan, program = supernet.plan(subnet), supernet.program(subnet)
        found[subnet] = Both(program, bind(plan, take, by_statistics(plan, take, *shared(supernet, subnet))))
    return found


def worth(programs: Mapping[Subnet, Both], task: tasks.Task, progress: Progress = silent) -> list[Worth]:
    """Both accuracies of each subnet on the test images of a task."""
    x, y = torch.from_numpy(task.test.x), torch.from_numpy(task.test.y)
    found = []
    for done, (subnet, either) in enumerate(programs.items(), 1):
        found.append(Worth(subnet, *(float(correct(program, x, y).mean()) for program in either)))
        progress(done, len(programs), subnet)
    return found
