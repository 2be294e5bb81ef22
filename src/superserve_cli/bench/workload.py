"""The workload that scheduling benchmarks share: six subnets in five batch sizes, eight workers, mixed SLOs. All of it synthetic."""

from typing import Final

import numpy as np

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, ms_to_ns
from superserve_cli.profiles import Profile
from superserve_cli.traces import Trace

WORKERS: Final = 8
SLOS_MS: Final = (20, 36, 60, 100)
BATCH_SIZES: Final = (1, 2, 4, 8, 16)
COSTS: Final = (0.93, 1.9, 2.5, 3.6, 5.0, 7.5)
ACCURACIES: Final = (0.7382, 0.7669, 0.7764, 0.7825, 0.7944, 0.8016)


def profile() -> Profile:
    """Latencies of 0.9 + 0.175 g + 0.24 g b ms, modelled after the SuperServe paper's test bed; nobody measured them."""
    plan = tuple(tuple(ms_to_ns(0.9 + 0.175 * g + 0.24 * g * b) for b in BATCH_SIZES) for g in COSTS)
    return Profile(tuple(f"subnet-{i}" for i in range(len(COSTS))), BATCH_SIZES, plan, ACCURACIES)


def trace(requests: int, load: float, seed: int = 0) -> Trace:
    """Poisson arrivals with one of four SLOs each, at a load relative to what the median subnet sustains."""
    chance = np.random.default_rng(seed)
    gap_ns = NS_PER_S / (load * profile().sustained_qps(WORKERS))
    arrival_ns = np.cumsum(chance.exponential(gap_ns, requests)).astype(np.int64)
    return Trace(arrival_ns, slo_ns=chance.choice(np.array(SLOS_MS, np.int64) * NS_PER_MS, requests))
