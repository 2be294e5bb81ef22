"""The workload that scheduling benchmarks share: six subnets in five batch sizes, eight workers, mixed SLOs. All of it synthetic."""

from functools import cache
from typing import Final

import numpy as np

from superserve_cli import profiles
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.profiles import Profile
from superserve_cli.traces import Trace

WORKERS: Final = 8
SLOS_MS: Final = (20, 36, 60, 100)


@cache
def profile() -> Profile:
    """The shipped profile that is modelled after the SuperServe paper's test bed; nobody measured it."""
    return profiles.load("modelled")


def trace(requests: int, load: float, seed: int = 0) -> Trace:
    """Poisson arrivals with one of four SLOs each, at a load relative to what the median subnet sustains."""
    chance = np.random.default_rng(seed)
    gap_ns = NS_PER_S / (load * profile().sustained_qps(WORKERS))
    arrival_ns = np.cumsum(chance.exponential(gap_ns, requests)).astype(np.int64)
    return Trace(arrival_ns, slo_ns=chance.choice(np.array(SLOS_MS, np.int64) * NS_PER_MS, requests))
