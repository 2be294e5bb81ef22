"""What SubnetNorm is worth: each subnet with its own statistics against the largest subnet's, cut to its channels."""

from typing import NamedTuple

import torch
from torch import Tensor

from superserve_cli import tasks
from superserve_cli.core.nouns import Progress, Subnet, silent
from superserve_cli.errors import BadOption
from superserve_cli.supernet import Statistics, SuperNet
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.layers import Norm
from superserve_cli.supernet.program import bind, by_statistics, views
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


def worth(supernet: SuperNet, subnets: list[Subnet], task: tasks.Task, progress: Progress = silent) -> list[Worth]:
    """Both accuracies of each subnet on the test images of a task; raises BadOption for subnets that are not calibrated."""
    needs_statistics(supernet)
    check_shape(supernet, task.name, task.test.x)
    x, y = torch.from_numpy(task.test.x), torch.from_numpy(task.test.y)
    take, found = views(supernet.weights), []
    for done, subnet in enumerate(subnets, 1):
        plan, program = supernet.plan(subnet), supernet.program(subnet)
        naive = bind(plan, take, by_statistics(plan, take, *shared(supernet, subnet)))
        found.append(Worth(subnet, float(correct(program, x, y).mean()), float(correct(naive, x, y).mean())))
        progress(done, len(subnets), subnet)
    return found
