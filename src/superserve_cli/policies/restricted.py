"""A finished decision table for requests with an accuracy floor, which may run only some of the subnets it was made with.

A floor leaves the most accurate subnets. A cell whose subnet is gone falls to the fastest of those left, which is nearest to the speed
that the table asked for, in the largest batch that is not larger and fits the lower edge of the row. Where none fits, it has no choice.
"""

from dataclasses import replace

from superserve_cli.core.nouns import Choice
from superserve_cli.policies.policy import Policy
from superserve_cli.policies.table import DROP, DecisionTable
from superserve_cli.profiles.profile import Profile


def finished(table: DecisionTable) -> Policy:
    """A policy that is a table already."""
    return Policy(table.policy, lambda profile, workers: restricted(table, profile))


def restricted(table: DecisionTable, profile: Profile) -> DecisionTable:
    """The table on those of its subnets that `profile` holds."""
    if table.profile.subnets == profile.subnets:
        return table
    rows = [
        tuple(index(profile, table.choice(at), slack_ns) if at >= 0 else at for at in row)
        for slack_ns, row in zip(table.slack_ns, table.cells, strict=True)
    ]
    return replace(table, profile=profile, cells=tuple(rows))


def index(profile: Profile, choice: Choice, slack_ns: int) -> int:
    """The index of a choice in a profile, or of what takes its place where its subnet is gone."""
    at = profile.batch_sizes.index(choice.batch_size)
    if choice.subnet in profile.subnets:
        return profile.index(choice.subnet) * len(profile.batch_sizes) + at
    for size in reversed(range(at + 1)):
        fastest = min(range(len(profile.subnets)), key=lambda s: (profile.plan[s][size], s))
        if profile.plan[fastest][size] <= slack_ns:
            return fastest * len(profile.batch_sizes) + size
    return DROP
