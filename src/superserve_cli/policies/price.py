"""The price policy: worker time has a price, which rises with the queue, and each batch is bought where it is worth most.

Maximising the accuracy of the answers under a budget of worker time is a linear programme; its Lagrange multiplier theta, in accuracy
per ns, is what a little more time would be worth. A request that is answered by subnet s in batches of b then gains
accuracy(s) - theta * plan(s, b) / b, and pi, the most that any batch which fits can gain, is what a request is worth at that price. A
batch of n requests loses n * (pi - accuracy) + theta * plan against it: the policy runs the batch that loses least. Full batches
lose less than small ones, so efficiency needs no rule of its own.

The price itself follows the load that the queue shows. With c(s) the least time per request of subnet s in any batch size, F the
subnet with the least c and A the most accurate one, workers W, and slack' = slack less the shortest planned latency:

    load  = depth / (W * slack')                                                      requests per ns of worker time
    theta = K * slope * (load * c(A)) ** 0.9 + 0.1 * accuracy(F) / c(F) * (load * c(F)) ** 2.5
    slope = (accuracy(A) - accuracy(F)) / (c(A) - c(F))

The first term trades accuracy for time along the front; the second grows as even F comes near to what the workers sustain, where time
decides whether a request is answered at all. K = 0.6 and the other constants were chosen by simulation: docs/price.md.
"""

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from operator import truediv
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Choice, Choose, Subnet
from superserve_cli.policies.policy import Build, by_accuracy
from superserve_cli.profiles.profile import Profile

SCALE: Final = 0.6
ALONG_THE_FRONT: Final = 0.9
AT_STAKE: Final = 0.1
OVERLOAD: Final = 2.5
LEAST_SLACK: Final = 20
"""Less than 1/20 of the shortest latency is no slack to divide by."""


Numbers = NDArray[Any]


class Batch(NamedTuple):
    """What can be bought: up to `size` answers of this accuracy, for `plan_ns` of a worker's time."""

    subnet: Subnet
    size: int
    plan_ns: int
    accuracy: float


def price(scale: float) -> Build:
    """The batch whose accuracy is worth most at the price that slack and depth give worker time (this package; docs/price.md)."""

    def build(profile: Profile, workers: int) -> Choose:
        offers, theta_of = _offers(profile), _theta(profile, workers, scale)
        size, plan_ns, accuracy = (np.array(column) for column in zip(*(batch[1:] for batch in offers), strict=True))

        @lru_cache(maxsize=4)  # a table is asked row by row, and along a row the same batches fit
        def fitting(slack_ns: int) -> tuple[Numbers, ...]:
            fit = np.flatnonzero(plan_ns <= slack_ns)
            return fit, size[fit], plan_ns[fit], accuracy[fit]

        def choose(slack_ns: int, depth: int) -> Choice | None:
            holds = profile.batch_sizes[bisect_left(profile.batch_sizes, min(depth, profile.largest))]
            fit, rows, takes_ns, gains = fitting(slack_ns)
            able = rows.searchsorted(holds, side="right")  # a greater one would run as one of these
            if not able:
                return None
            theta = theta_of(slack_ns, depth)
            costs = theta * takes_ns
            worth = (gains - costs / rows).max()
            losses = np.minimum(rows[:able], depth) * (worth - gains[:able]) + costs[:able]
            best = offers[fit[losses.argmin()]]
            return Choice(best.subnet, best.size)

        return choose

    return build


def _offers(profile: Profile) -> list[Batch]:
    """Of each batch size, from the fastest subnet on, those more accurate than all before: no price makes another the better buy."""
    ranked = {s: rank for rank, s in enumerate(by_accuracy(profile))}
    cells = sorted(profile.cells(), key=lambda c: (c.batch_size, c.plan_ns, -ranked[c.subnet]))
    offers: list[Batch] = []
    for cell in cells:
        batch = Batch(cell.subnet, cell.batch_size, cell.plan_ns, cell.accuracy or 0.0)
        if not offers or batch.size > offers[-1].size or batch.accuracy > offers[-1].accuracy:
            offers.append(batch)
    return offers


def _theta(profile: Profile, workers: int, scale: float) -> Callable[[int, int], float]:
    """The price of worker time, in accuracy per ns, at a slack and a depth."""
    cost = {s: min(map(truediv, row, profile.batch_sizes)) for s, row in zip(profile.subnets, profile.plan, strict=True)}
    cheap, best = min(cost, key=lambda s: cost[s]), by_accuracy(profile)[-1]
    least, most = profile.accuracy(cheap) or 0.0, profile.accuracy(best) or 0.0
    slope = (most - least) / (cost[best] - cost[cheap]) if cost[best] > cost[cheap] else 0.0
    shortest = min(map(min, profile.plan))

    def theta(slack_ns: int, depth: int) -> float:
        load = depth / (workers * max(slack_ns - shortest, shortest / LEAST_SLACK))
        along_the_front = scale * slope * (load * cost[best]) ** ALONG_THE_FRONT
        return float(along_the_front + AT_STAKE * least / cost[cheap] * (load * cost[cheap]) ** OVERLOAD)

    return theta
