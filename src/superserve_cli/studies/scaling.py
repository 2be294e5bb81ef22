"""What it costs to share workers among several routers, each with a queue of its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from superserve_cli import traces
from superserve_cli.core.nouns import Progress
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.engine.simulator import Sharding, simulate
from superserve_cli.engine.world import PICKS
from superserve_cli.errors import BadOption
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.reports import metrics, notation
from superserve_cli.studies.bounds import utility_bound
from superserve_cli.traces import Trace

OWN: Final = "own workers"
"""Not shared at all: each router has its part of the workers to itself."""
WAYS: Final = (*PICKS, OWN)
COLUMNS: Final = ("routers", "an idle worker serves", "policy", "attainment\n%", "utility\n%", "gap\npoints")
IN_WORDS: Final = {
    "least-slack": "the most urgent of all",
    "two-choices": "the more urgent of two",
    "random": "any with a request",
    OWN: "its own router alone",
}
MOST_ROUTERS: Final = 1000


@dataclass(frozen=True)
class Cluster:
    """What is served with what: requests per second for some seconds, bursty (CV^2 8), for each seed."""

    profile: Profile
    workers: int
    qps: float
    duration_s: float
    slo_ns: int
    late: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Shared:
    """Means over seeds of one policy under one way of sharing; `gap` is the bound less the utility, in points of accuracy.

    Both are None where an accuracy is unknown.
    """

    routers: int
    way: str
    policy: str
    attainment: float
    utility: float | None
    gap: float | None


def check(routers: Sequence[int], workers: int) -> None:
    """Refuse routers that cannot share the workers; raises BadOption."""
    for count in routers:
        if not 1 <= count <= min(workers, MOST_ROUTERS):
            raise BadOption(f"{count} routers for {workers} workers", hint=f"between 1 and {min(workers, MOST_ROUTERS)} of them")


def arrivals(cluster: Cluster) -> list[Trace]:
    """Its trace for each seed; raises BadOption."""
    return [traces.load("bursty", qps=cluster.qps, duration_s=cluster.duration_s, seed=seed) for seed in cluster.seeds]


def share(
    cluster: Cluster, arrived: Sequence[Trace], policies: Sequence[Policy], routers: Sequence[int], progress: Progress
) -> list[Shared]:
    """The traces of `arrivals` served by each policy with each number of routers, shared in each way; one router is one way."""
    check(routers, cluster.workers)
    bounds = [utility_bound(trace, cluster.profile, workers=cluster.workers, slo_ns=cluster.slo_ns) for trace in arrived]
    cells = list(_cells(policies, routers))
    found = []
    for done, (count, way, policy) in enumerate(cells):
        progress(done, len(cells), f"{policy.name}, {count} routers")
        runs = [_served(cluster, trace, policy, count, way) for trace in arrived]
        found.append(_mean(runs, bounds, count, way, policy.name))
    progress(len(cells), len(cells), "")
    return found


def _cells(policies: Sequence[Policy], routers: Sequence[int]) -> Iterator[tuple[int, str, Policy]]:
    for count in routers:
        for way in WAYS if count > 1 else WAYS[:1]:
            for policy in policies:
                yield count, way, policy


def _served(cluster: Cluster, trace: Trace, policy: Policy, routers: int, way: str) -> list[Outcomes]:
    """The outcomes of the whole cluster, or of each router with its own workers."""

    def run(part: Trace, workers: int, sharding: Sharding) -> Outcomes:
        return simulate(part, cluster.profile, policy, workers=workers, slo_ns=cluster.slo_ns, late=cluster.late, sharding=sharding)

    if way != OWN:
        return [run(trace, cluster.workers, Sharding(routers, way))]
    router = Sharding(routers).routed(len(trace))
    each, more = divmod(cluster.workers, routers)
    return [run(Trace(trace.arrival_ns[router == one]), each + (one < more), Sharding()) for one in range(routers)]


def _mean(runs: Sequence[Sequence[Outcomes]], bounds: Sequence[float | None], routers: int, way: str, policy: str) -> Shared:
    attainment, utility = (_known_mean([_of_all(metric, run) for run in runs]) for metric in (metrics.attainment, metrics.utility))
    bound = _known_mean(bounds)
    gap = None if utility is None or bound is None else 100 * (bound - utility)
    return Shared(routers, way, policy, attainment or 0.0, utility, gap)


def _known_mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if len(known) == len(shares) else None


def _of_all(metric: Callable[[Outcomes], float | None], run: Sequence[Outcomes]) -> float | None:
    """A share of the requests of all parts of a cluster, some of which may have got none; None where it is unknown."""
    shares = [(metric(part), len(part)) for part in run if len(part)]
    return None if any(share is None for share, _ in shares) else sum((share or 0.0) * many for share, many in shares) / sum(map(len, run))


def rows(found: Sequence[Shared]) -> list[tuple[str, ...]]:
    """The rows of the table under COLUMNS."""
    return [
        (
            str(one.routers),
            IN_WORDS[one.way] if one.routers > 1 else "the only one",
            one.policy,
            notation.percent(one.attainment).removesuffix(" %"),
            notation.percent(one.utility).removesuffix(" %"),
            notation.UNKNOWN if one.gap is None else f"{one.gap:.2f}",
        )
        for one in found
    ]


def as_json(cluster: Cluster, found: Sequence[Shared]) -> dict[str, Any]:
    """Everything that was asked and found."""
    asked = {**asdict(cluster), "profile": cluster.profile.metadata.get("name")}
    return {"schema": "scaling/1", "cluster": asked, "shared": [asdict(one) for one in found]}
