from collections.abc import Callable
from dataclasses import dataclass

from superserve_cli.core.nouns import Choose, Subnet
from superserve_cli.errors import BadFile
from superserve_cli.profiles.profile import Profile

Build = Callable[[Profile, int], Choose]
"""Offline half of a policy: (profile of the served subnets, number of workers) -> its online half."""


def everything(profile: Profile) -> Profile:
    """All served subnets: what a policy that chooses among them may run."""
    return profile


@dataclass(frozen=True)
class Policy:
    """A way to choose subnet and batch size, under the name that reports give it.

    `restrict` says which of the served subnets it may ever run; the rules for heads that cannot be met keep to them too. A policy
    that computes with slack and depth, instead of only comparing them, has a `grid`: its table is an approximation.
    """

    name: str
    build: Build
    restrict: Callable[[Profile], Profile] = everything
    grid: bool = False


def by_accuracy(profile: Profile) -> list[Subnet]:
    """Subnets from the least to the most accurate; of equals the slower, then the greater id, comes first.

    Raises BadFile where an accuracy is unknown: ranking needs them all.
    """
    if None in profile.accuracies:
        unknown = profile.subnets[profile.accuracies.index(None)]
        raise BadFile(
            f"the profile does not know the accuracy of subnet {unknown}",
            hint="policies that rank by accuracy need it: add the column, or use fixed:SUBNET",
        )
    order = sorted(range(len(profile.subnets)), key=lambda i: (-(profile.accuracies[i] or 0.0), i))
    return [profile.subnets[i] for i in reversed(order)]


def least_accurate(profile: Profile) -> Subnet:
    """The least accurate subnet; of equals the faster, then the smaller id."""
    lowest = profile.accuracy(by_accuracy(profile)[0])
    return next(s for s in profile.subnets if profile.accuracy(s) == lowest)
