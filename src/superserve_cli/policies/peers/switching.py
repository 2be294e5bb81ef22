from collections.abc import Callable, Sequence
from typing import Final

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.policies.greedy import largest_fitting
from superserve_cli.policies.peers.models import one_variant, peak_qps
from superserve_cli.policies.policy import Control, Policy, Seen, by_accuracy, least_accurate
from superserve_cli.profiles.profile import Profile

PERIOD_NS: Final = 25 * NS_PER_MS
AT_ONCE: Final = 4
"""One in so many workers changes its model at a time, lest all load together."""
HEADROOM: Final = 1.1
SMOOTHING: Final = 0.5


def switching(name: str, load_ns: int) -> Policy:
    """Whole models that a worker must load before it serves them: what a delay of actuation costs (SuperServe, Fig. 1).

    A control loop looks at the arrival rate every 25 ms (a moving average over some four periods, and what waits must go within an
    SLO), and wants the most accurate model that carries 1.1 times as much. A quarter of the workers change at a time, towards it,
    and no others before those have loaded; a worker that loads serves nothing. Within a model, the largest batch that fits. The paper
    does not describe its coarse policy: this one is ours.
    """

    def control(profile: Profile, workers: int, slo_ns: int) -> Control:
        subnets = by_accuracy(profile)
        modes = tuple(Policy(name, largest_fitting, one_variant(s)) for s in subnets)
        sustained_qps = [workers * peak_qps(profile, s, slo_ns // 2) for s in subnets]
        return Control(
            modes, tick=_follower(sustained_qps, workers, slo_ns, load_ns), first_ns=PERIOD_NS, period_ns=PERIOD_NS, load_ns=load_ns
        )

    return Policy(name, lambda profile, workers: largest_fitting(profile.only({least_accurate(profile)}), workers), control=control)


def _follower(sustained_qps: Sequence[float], workers: int, slo_ns: int, load_ns: int) -> Callable[[Seen], Sequence[int]]:
    """The control loop; it keeps the modes that it has ordered."""
    modes, rate_qps, last, settled_ns = [0] * workers, 0.0, Seen(0, 0, 0), 0

    def tick(seen: Seen) -> Sequence[int]:
        nonlocal rate_qps, last, settled_ns
        now_qps = (seen.arrived - last.arrived) * NS_PER_S / (seen.now_ns - last.now_ns)
        rate_qps, last = rate_qps + SMOOTHING * (now_qps - rate_qps), seen
        wanted_qps = HEADROOM * max(rate_qps, now_qps) + seen.waiting * NS_PER_S / slo_ns
        goal = max((m for m, qps in enumerate(sustained_qps) if qps >= wanted_qps), default=0)
        if seen.now_ns >= settled_ns and (others := [w for w in range(workers) if modes[w] != goal]):
            for worker in others[: max(1, workers // AT_ONCE)]:
                modes[worker] = goal
            settled_ns = seen.now_ns + load_ns
        return list(modes)

    return tick
