"""The policies of the SuperServe paper: each looks at the most urgent request alone ("greedy with respect to time").

Every one is an offline function of the profile that returns an online function of (slack, depth). The online halves only compare
slack and depth with numbers, so they compile to exact tables.
"""

from bisect import bisect_right
from collections.abc import Callable

from superserve_cli.core.nouns import Choice, Choose, Subnet
from superserve_cli.errors import BadOption
from superserve_cli.policies.policy import Build, by_accuracy, least_accurate
from superserve_cli.profiles.profile import Cell, Profile


def slackfit(buckets: int) -> Build:
    """Of evenly spaced latency buckets, each keeping its largest batch, the one closest below the slack (SuperServe, 4.2 and A.5).

    The paper leaves open how many buckets, and ties: here a bucket keeps the largest batch, then the highest accuracy, then the
    lowest latency; an empty bucket falls to the next lower one.
    """

    def build(profile: Profile, workers: int) -> Choose:
        by_accuracy(profile)
        kept = sorted(_best_of_buckets(profile, buckets), key=lambda cell: cell.plan_ns)
        latencies = [cell.plan_ns for cell in kept]
        choices = [Choice(cell.subnet, cell.batch_size) for cell in kept]

        def choose(slack_ns: int, depth: int) -> Choice | None:
            at = bisect_right(latencies, slack_ns)
            return choices[at - 1] if at else None

        return choose

    return build


def _best_of_buckets(profile: Profile, buckets: int) -> list[Cell]:
    lo, hi = min(row[0] for row in profile.plan), max(row[-1] for row in profile.plan)
    best: dict[int, Cell] = {}
    for cell in sorted(profile.cells(), key=lambda c: (-c.batch_size, -(c.accuracy or 0.0), c.plan_ns, c.subnet)):
        best.setdefault(_bucket(cell.plan_ns, lo, hi, buckets), cell)
    return list(best.values())


def _bucket(latency_ns: int, lo: int, hi: int, buckets: int) -> int:
    return max(1, -((lo - latency_ns) * buckets // (hi - lo))) if hi > lo else 1


def max_batch(profile: Profile, workers: int) -> Choose:
    """The largest batch that the least accurate subnet can run in the slack, then the best subnet that still fits (SuperServe, A.5)."""
    least = least_accurate(profile)
    best_first = {
        size: sorted(profile.subnets, key=lambda s: (-(profile.accuracy(s) or 0.0), profile.plan_ns(s, size), s))
        for size in profile.batch_sizes
    }

    def choose(slack_ns: int, depth: int) -> Choice | None:
        size = largest_batch(profile, least, slack_ns)
        return None if size is None else Choice(next(s for s in best_first[size] if profile.plan_ns(s, size) <= slack_ns), size)

    return choose


def max_accuracy(profile: Profile, workers: int) -> Choose:
    """The most accurate subnet that fits at the smallest batch, then its largest batch that fits (SuperServe, A.5)."""
    order = by_accuracy(profile)[::-1]

    def choose(slack_ns: int, depth: int) -> Choice | None:
        subnet = next((s for s in order if profile.plan_ns(s, profile.smallest) <= slack_ns), None)
        return None if subnet is None else Choice(subnet, largest_batch(profile, subnet, slack_ns) or profile.smallest)

    return choose


def largest_fitting(profile: Profile, workers: int) -> Choose:
    """One subnet, in the largest batch that fits: Clipper+ and INFaaS of the SuperServe paper, once they have their subnet."""
    (subnet,) = profile.subnets

    def choose(slack_ns: int, depth: int) -> Choice | None:
        size = largest_batch(profile, subnet, slack_ns)
        return None if size is None else Choice(subnet, size)

    return choose


def cheapest_above(floor: float) -> Callable[[Profile], Profile]:
    """The subnet that INFaaS runs for an accuracy floor: the least accurate one that reaches it (SuperServe, 6.1, for no floor)."""

    def restrict(profile: Profile) -> Profile:
        by_accuracy(profile)  # all must be known
        able = profile.only([s for s, a in zip(profile.subnets, profile.accuracies, strict=True) if (a or 0.0) >= floor])
        if not able.subnets and profile.subnets:
            best = max(a or 0.0 for a in profile.accuracies)
            raise BadOption(f"no served subnet reaches the accuracy {floor:g} of infaas:{floor:g}", hint=f"the best one has {best:g}")
        return able.only({least_accurate(able)} if able.subnets else ())

    return restrict


def largest_batch(profile: Profile, subnet: Subnet, slack_ns: int) -> int | None:
    """The largest profiled batch of a subnet whose planned latency is within the slack."""
    return next((size for size in reversed(profile.batch_sizes) if profile.plan_ns(subnet, size) <= slack_ns), None)
