"""What the peers that give a worker one model have in common: which one, how much of it a worker sustains, and full batches."""

from collections.abc import Callable

from superserve_cli.core.nouns import NS_PER_S, Subnet
from superserve_cli.policies.greedy import largest_batch
from superserve_cli.policies.policy import least_accurate
from superserve_cli.profiles.profile import Profile


def one_model(subnet: Subnet) -> Callable[[Profile], Profile]:
    """Of the subnets that may run, the one that an operator has chosen; with no name, the median one."""
    return lambda profile: profile.only({subnet or median(profile)} if profile.subnets else ())


def one_variant(subnet: Subnet) -> Callable[[Profile], Profile]:
    """The variant that a worker runs; for requests with a floor that it does not reach, the least accurate one that does."""
    return lambda profile: profile.only({subnet if subnet in profile.subnets else least_accurate(profile)} if profile.subnets else ())


def peak_qps(profile: Profile, subnet: Subnet, within_ns: int) -> float:
    """What a worker sustains of a subnet in the largest batch that takes no longer than this; 0 where even the smallest does."""
    size = largest_batch(profile, subnet, within_ns)
    return 0.0 if size is None else size * NS_PER_S / profile.plan_ns(subnet, size)


def median(profile: Profile) -> Subnet:
    """The median subnet, the faster of two, by planned latency at the largest batch: the one that `--load` is measured by."""
    ranked = sorted(profile.subnets, key=lambda s: (profile.plan_ns(s, profile.largest), s))
    return ranked[(len(ranked) - 1) // 2]


def largest_full(profile: Profile, subnet: Subnet, slack_ns: int, depth: int) -> int | None:
    """The largest profiled batch that fits the slack and that the queue fills; the smallest one need not be full."""
    return next(
        (b for b in reversed(profile.batch_sizes) if profile.plan_ns(subnet, b) <= slack_ns and (depth >= b or b == profile.smallest)), None
    )
