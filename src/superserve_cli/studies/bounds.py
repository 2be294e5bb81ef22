"""An upper bound on utility that no scheduler can pass on a trace, not even one that knows all arrivals beforehand.

Why it holds. Take any schedule. A batch that meets m requests on subnet s, run as batch size b, keeps one worker for t(s, b); charge
each of the m with t(s, b) / m of that time. Since m requests fit into b rows, the charge is at least c_s, the least of
t(s, b) / (how many requests b rows hold) over the cells that fit into the longest SLO, and the time charged lies between the
request's arrival and its deadline. So the met requests share one machine of the speed of all workers, each inside its window, and a
request that gets the work w has at most the accuracy v(w), the upper concave envelope of (0, 0) and the points (c_s, accuracy of s),
level beyond its highest point: more time than the most accurate subnet needs is worth nothing. What is missed counts 0 = v(0).

Windows that close in the order in which they open can be served in that order without loss (EDF), so the best such sharing is the
taut string of `taut.py`, and the bound is the mean of v(workers x its steps). For equal SLOs it is the exact optimum of that
relaxation, which forgets that batches are whole, run on one worker at a time, and start after the last of their requests arrives.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.profiles import Profile
from superserve_cli.studies.taut import shares_ns
from superserve_cli.traces.trace import Trace

NEVER_NS: Final = np.iinfo(np.int64).max
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Asked(NamedTuple):
    """What each request of a trace asks for, (n,) each: its window, its accuracy floor, its rows."""

    arrival_ns: Ints
    deadline_ns: Ints
    floor: Floats
    rows: Ints

    @property
    def slo_ns(self) -> Ints:
        """The length of each window."""
        return self.deadline_ns - self.arrival_ns

    def only(self, which: NDArray[np.bool_]) -> "Asked":
        """Some of the requests."""
        return Asked(self.arrival_ns[which], self.deadline_ns[which], self.floor[which], self.rows[which])


def utility_bound(trace: Trace, profile: Profile, *, workers: int, slo_ns: int, service: str = "fixed") -> float | None:
    """The most that sum of accuracies of the met requests / all requests can be, on any schedule of the profile's subnets.

    None where an accuracy is unknown or there is no request. `slo_ns` is for requests that have none of their own. Tight for equal
    SLOs; valid, and weaker, otherwise: windows of mixed SLOs are widened until they close in the order in which they open, and all may
    use what fits the longest SLO; a request that no subnet of its accuracy floor can meet counts 0, any other may use subnets below
    its floor; requests of several rows are charged like the smallest of them; with `service="measured"` every batch is as fast as the
    fastest quantile of its cell; and workers are never lost.
    """
    accuracies = np.array([np.nan if a is None else a for a in profile.accuracies])
    if not len(trace) or np.isnan(accuracies).any():
        return None
    time_ns = _time_ns(profile, service)
    asked = _asked(trace, slo_ns)
    able = asked.only(_least_ns(asked, profile, accuracies, time_ns) <= asked.slo_ns)
    if not len(able.rows):
        return 0.0
    work_ns, accuracy = _worth(able, profile, accuracies, time_ns)
    best = min(float(np.interp(workers * shares_ns(*windows), work_ns, accuracy).sum()) for windows in _in_order(able))
    return best / len(trace)


def _time_ns(profile: Profile, service: str) -> Ints:
    """The least time that a batch of each cell can take, (subnets, batch sizes)."""
    if service == "measured" and profile.quantiles_ns is not None:
        return profile.quantiles_ns[:, :, 0]
    return np.array(profile.plan, np.int64)


def _asked(trace: Trace, slo_ns: int) -> Asked:
    many = len(trace)
    return Asked(
        arrival_ns=trace.arrival_ns.astype(np.int64),
        deadline_ns=trace.deadlines_ns(slo_ns),
        floor=np.zeros(many) if trace.min_accuracy is None else trace.min_accuracy,
        rows=np.ones(many, np.int64) if trace.size is None else trace.size.astype(np.int64),
    )


def _least_ns(asked: Asked, profile: Profile, accuracies: Floats, time_ns: Ints) -> Ints:
    """The least time in which each request can be served at all: by a subnet that reaches its floor, in a batch that holds its rows."""
    order = np.argsort(accuracies)
    least = np.pad(time_ns[order], ((0, 1), (0, 1)), constant_values=NEVER_NS)
    for axis in (0, 1):  # over all that are at least as accurate, and at least as large
        least = np.flip(np.minimum.accumulate(np.flip(least, axis), axis=axis), axis)
    found: Ints = least[np.searchsorted(accuracies[order], asked.floor), np.searchsorted(profile.batch_sizes, asked.rows)]
    return found


def _worth(asked: Asked, profile: Profile, accuracies: Floats, time_ns: Ints) -> tuple[Floats, Floats]:
    """The corners of v: work in ns of one worker, and the accuracy that a request can have for it."""
    requests = np.array(profile.batch_sizes) // asked.rows.min()
    usable = (time_ns <= asked.slo_ns.max()) & (requests > 0)
    charge_ns = np.where(usable, time_ns, np.inf) / np.maximum(requests, 1)
    cheapest_ns = charge_ns.min(axis=1)
    serves = np.isfinite(cheapest_ns) & (accuracies >= asked.floor.min())
    return _envelope(cheapest_ns[serves], accuracies[serves])


def _envelope(work_ns: Floats, accuracy: Floats) -> tuple[Floats, Floats]:
    """The corners of the upper concave envelope of (0, 0) and these points, up to the highest."""
    hull = [(0.0, 0.0)]
    for x, y in sorted(zip(work_ns.tolist(), accuracy.tolist(), strict=True)):
        if y <= hull[-1][1]:
            continue
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-2][0]) <= (y - hull[-2][1]) * (hull[-1][0] - hull[-2][0]):
            hull.pop()
        hull.append((x, y))
    corners = np.array(hull)
    return corners[:, 0], corners[:, 1]


def _in_order(asked: Asked) -> Iterator[tuple[Ints, Ints]]:
    """Windows (opens, closes) that contain the requests' own and close in the order in which they open; two ways where they must widen."""
    yield asked.arrival_ns, np.maximum.accumulate(asked.deadline_ns)
    if (np.diff(asked.deadline_ns) < 0).any():
        urgent = np.argsort(asked.deadline_ns, kind="stable")
        yield np.minimum.accumulate(asked.arrival_ns[urgent][::-1])[::-1], asked.deadline_ns[urgent]
