"""Small instances in the words of the domain, and programmes that say their best in the plainest way, sharing no code with ours."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linprog

from superserve_cli.profiles import Profile
from superserve_cli.traces.trace import Trace

SIZES = (1, 2, 4)
LATE = ("drop", "shed", "serve")
Request = tuple[int, int]
"""(arrival, SLO) in ns."""


def profile(plan: Sequence[Sequence[int]], accuracies: Sequence[float | None], sizes: Sequence[int] = SIZES) -> Profile:
    """Subnets s0, s1, ... with their latency at each batch size."""
    rows = sorted(zip(map(tuple, plan), (f"s{i}" for i in range(len(plan))), accuracies, strict=True), key=lambda row: (row[0][0], row[1]))
    return Profile(tuple(s for _, s, _ in rows), tuple(sizes), tuple(p for p, _, _ in rows), tuple(a for _, _, a in rows))


def trace(requests: Sequence[Request], floors: Sequence[float] | None = None) -> Trace:
    """Requests in the order of their arrivals."""
    arrivals, slos = (np.array(column, np.int64) for column in zip(*sorted(requests, key=lambda r: r[0]), strict=True))
    return Trace(arrivals, slo_ns=slos, min_accuracy=None if floors is None else np.array(floors))


@st.composite
def profiles(draw: st.DrawFn, most: int = 3) -> Profile:
    """Any profile: latencies need not grow with the batch, nor with the accuracy."""
    plan = draw(st.lists(st.tuples(*[st.integers(1, 40)] * len(SIZES)), min_size=1, max_size=most))
    return profile(plan, draw(st.lists(st.sampled_from([0.5, 0.6, 0.7, 0.8]), min_size=len(plan), max_size=len(plan))))


def requests(most: int, latest: int = 60) -> st.SearchStrategy[list[Request]]:
    """Up to so many requests, each with an SLO of its own."""
    return st.lists(st.tuples(st.integers(0, latest), st.integers(1, 90)), min_size=1, max_size=most)


def equal_slos(most: int, latest: int = 60) -> st.SearchStrategy[list[Request]]:
    """Up to so many requests with one SLO for all."""
    arrivals = st.lists(st.integers(0, latest), min_size=1, max_size=most)
    return st.tuples(arrivals, st.integers(1, 90)).map(lambda drawn: [(at, drawn[1]) for at in drawn[0]])


def best_of_all(plan: Profile, asked: Trace, workers: int) -> float:
    """The greatest utility of any schedule, by trying all batches of all requests on all workers in all orders."""
    windows = list(zip(asked.arrival_ns.tolist(), asked.deadlines_ns(1).tolist(), strict=True))
    floors = [0.0] * len(windows) if asked.min_accuracy is None else asked.min_accuracy.tolist()

    def batches(waiting: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        for size in range(1, min(len(waiting), plan.largest) + 1):
            yield from combinations(waiting, size)

    @cache
    def best(waiting: tuple[int, ...], free_ns: tuple[int, ...]) -> float:
        """With these requests waiting, and the workers free from these times on."""
        found = 0.0
        for batch in batches(waiting):
            left = tuple(r for r in waiting if r not in batch)
            for worker in range(len(free_ns)):
                start = max(free_ns[worker], *(windows[r][0] for r in batch))
                for subnet in plan.subnets:
                    accuracy, end = plan.accuracy(subnet) or 0.0, start + plan.plan_ns(subnet, len(batch))
                    if end <= min(windows[r][1] for r in batch) and accuracy >= max(floors[r] for r in batch):
                        then = tuple(sorted((*free_ns[:worker], end, *free_ns[worker + 1 :])))
                        found = max(found, accuracy * len(batch) + best(left, then))
        return found

    return best(tuple(range(len(windows))), (0,) * workers) / len(windows)


def best_sharing(costs: Sequence[tuple[float, float]], windows: Sequence[Request], workers: int) -> float:
    """The greatest mean accuracy when requests share one machine like a fluid, each in its window (opens, closes).

    `costs` are (work, accuracy); a request may mix them. A linear programme: how much of each window's every piece goes to each
    request, and which mix of costs its work pays for.
    """
    edges = sorted({edge for window in windows for edge in window})
    pieces = [(i, e) for i, (opens, closes) in enumerate(windows) for e in range(len(edges) - 1) if opens <= edges[e] < closes]
    mixes = [(i, s) for i in range(len(windows)) for s in range(len(costs))]
    variables = len(pieces) + len(mixes)
    rows, most = [], []
    for e in range(len(edges) - 1):
        rows.append([float(piece[1] == e) for piece in pieces] + [0.0] * len(mixes))
        most.append(float(workers * (edges[e + 1] - edges[e])))
    for i in range(len(windows)):
        rows.append([-float(piece[0] == i) for piece in pieces] + [costs[s][0] * (owner == i) for owner, s in mixes])
        most.append(0.0)
        rows.append([0.0] * len(pieces) + [float(owner == i) for owner, _ in mixes])
        most.append(1.0)
    value = [0.0] * len(pieces) + [costs[s][1] for _, s in mixes]
    solved = linprog(-np.array(value), A_ub=np.array(rows).reshape(-1, variables), b_ub=most)
    assert solved.status == 0
    return float(-solved.fun) / len(windows)
