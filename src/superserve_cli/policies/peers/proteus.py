from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from superserve_cli.core.nouns import NS_PER_S, WAIT, Choice, Choose
from superserve_cli.policies.greedy import largest_batch
from superserve_cli.policies.peers.models import one_variant, peak_qps
from superserve_cli.policies.policy import Control, Policy, Seen, by_accuracy, least_accurate
from superserve_cli.profiles.profile import Profile

FIRST_NS: Final = NS_PER_S
PERIOD_NS: Final = 20 * NS_PER_S
Numbers = NDArray[Any]
COM: Final = 0.7
"""Centre of mass of the moving average of demand."""
HEADROOM: Final = 1.05
STEP: Final = 0.05
LEAST: Final = 0.2
NO_DEMAND: Final = 1e-9
"""Requests per second that count as none: an average never forgets entirely."""
TIE_BREAK: Final = 1e-5
"""What an idle worker's accuracy counts: far less than that of any demand, and more than the solver's tolerance."""


def proteus() -> Policy:
    """Proteus (ASPLOS 2024): a MILP gives each worker one variant for the next 20 s, and batches wait as long as their head can.

    The MILP (algorithms/ilp.py) maximises the mean accuracy of the demand, a moving average; each worker runs one variant, at the
    throughput of its largest batch that takes less than half of the SLO; the plan must carry 1.05 times the demand, or 0.05 less
    of it, and so on down to 0.2. The workers are alike, so that how many run a variant is all there is to decide. Until there is a
    demand to plan for, in the first second, all run the least accurate one. One central queue replaces its routing by shares: the
    worker with the most accurate variant that is idle takes the next batch.
    """
    return Policy("proteus", _least, control=_control)


def _least(profile: Profile, workers: int) -> Choose:
    return _waiting(profile.only({least_accurate(profile)}), workers)


def _control(profile: Profile, workers: int, slo_ns: int) -> Control:
    subnets = by_accuracy(profile)
    accuracy = np.array([profile.accuracy(s) for s in subnets])
    peaks_qps = np.array([peak_qps(profile, s, (slo_ns - 1) // 2) for s in subnets])
    modes = tuple(Policy("proteus", _waiting, one_variant(s)) for s in subnets)
    return Control(modes, tick=_planner(accuracy, peaks_qps, workers), first_ns=FIRST_NS, period_ns=PERIOD_NS)


def _planner(accuracy: Numbers, peaks_qps: Numbers, workers: int) -> Callable[[Seen], Sequence[int]]:
    """The control loop: demand as a moving average of the arrival rate, then the plan for it, most accurate variants first."""
    demand, last = None, Seen(0, 0, 0)

    @lru_cache(maxsize=1)  # while nothing arrives, for hours perhaps, there is nothing to plan anew
    def planned(demand_qps: float) -> Numbers:
        return plan(accuracy, peaks_qps, workers, demand_qps)

    def tick(seen: Seen) -> Sequence[int]:
        nonlocal demand, last
        rate = (seen.arrived - last.arrived) * NS_PER_S / (seen.now_ns - last.now_ns)
        demand, last = rate if demand is None else (rate + COM * demand) / (1 + COM), seen
        variants = planned(demand if demand > NO_DEMAND else 0.0)
        return [int(v) for v in np.repeat(np.arange(len(accuracy)), variants)[::-1]]

    return tick


def plan(accuracy: Numbers, peaks_qps: Numbers, workers: int, demand_qps: float) -> Numbers:
    """How many workers run each variant: integers (variants,) that sum to `workers`; all the fastest where no plan carries enough."""
    for steps in count():
        share = HEADROOM - STEP * steps
        if share < LEAST:
            break
        found = _solve(accuracy, peaks_qps, workers, share * demand_qps)
        if found is not None:
            return found
    fastest = np.zeros(len(accuracy), np.int64)
    fastest[int(np.argmax(peaks_qps))] = workers
    return fastest


def _solve(accuracy: Numbers, peaks_qps: Numbers, workers: int, carried_qps: float) -> Numbers | None:
    """Maximise sum(accuracy y) with n integer, sum(n) = workers, y <= peak n, sum(y) = carried; y is traffic, scaled to shares."""
    variants, whole = len(accuracy), max(carried_qps, NO_DEMAND)
    zero, one, capacity = np.zeros(variants), np.ones(variants), np.diag(peaks_qps / whole)
    rules = [
        LinearConstraint(np.concatenate([one, zero]), workers, workers),
        LinearConstraint(np.concatenate([zero, one]), 1, 1),
        LinearConstraint(np.hstack([-capacity, np.eye(variants)]), -np.inf, 0),
    ]
    solved = milp(
        -np.concatenate([TIE_BREAK * accuracy, accuracy]),  # of equal plans, the one with the more accurate idle workers
        constraints=rules,
        integrality=np.concatenate([one, zero]),
        options={"mip_rel_gap": 0.0},
        bounds=Bounds(0, np.concatenate([np.full(variants, float(workers)), one])),
    )
    return None if solved.x is None else np.rint(solved.x[:variants]).astype(np.int64)


def _waiting(profile: Profile, workers: int) -> Choose:
    """Wait while the head can still wait for the batch that all who wait would make, run it then; a full batch runs at once."""
    (subnet,) = profile.subnets

    def choose(slack_ns: int, depth: int) -> Choice | None:
        holds_all = next((size for size in profile.batch_sizes if depth <= size), None)
        if holds_all is not None and slack_ns > profile.plan_ns(subnet, holds_all) and depth < profile.largest:
            return WAIT
        size = largest_batch(profile, subnet, slack_ns)
        return None if size is None else Choice(subnet, size)

    return choose
