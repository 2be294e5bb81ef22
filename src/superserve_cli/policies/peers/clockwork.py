from typing import Final

from superserve_cli.core.nouns import NS_PER_MS, Choice, Choose, Subnet
from superserve_cli.policies.peers.models import largest_full, one_model
from superserve_cli.policies.policy import Control, Policy
from superserve_cli.profiles.profile import Profile

SCHEDULE_AHEAD_NS: Final = 10 * NS_PER_MS


def clockwork(name: str, subnet: Subnet) -> Policy:
    """Clockwork (OSDI 2020) on one resident model: of all (request, batch size) pairs, the one that must start first.

    As its concurrent_infer_and_load_scheduler.cpp does: a pair counts if as many requests wait from this one on and it can still
    finish in time; the pair with the earliest latest start runs, in the largest batch that is full and in time; older requests are
    dropped. A worker gets its actions 10 ms before it is free, so that those arriving later miss the batch. Larger batches are taken
    to need longer, as they nearly always do. Left out: loading other
    models, the 5 ms that it keeps for the network (here is none), and the worker's right to reject an action that begins more than
    10 ms after its window opens: no simulated batch is that late.
    """

    def control(profile: Profile, workers: int, slo_ns: int) -> Control:
        return Control((Policy(name, full_batches, own),), ahead_ns=SCHEDULE_AHEAD_NS, latest_start=True)

    own = one_model(subnet)
    return Policy(name, full_batches, own, control=control)


def full_batches(profile: Profile, workers: int) -> Choose:
    """One subnet, in the largest batch that is full and fits."""
    (subnet,) = profile.subnets

    def choose(slack_ns: int, depth: int) -> Choice | None:
        size = largest_full(profile, subnet, slack_ns, depth)
        return None if size is None else Choice(subnet, size)

    return choose
