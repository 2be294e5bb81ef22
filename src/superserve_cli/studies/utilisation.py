"""The paper's loads on another kind of worker: the same share of what the workers sustain."""

from typing import Final

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.profiles import Profile, load

PAPER_SLO_NS: Final = 36 * NS_PER_MS
REFERENCE: Final = "modelled-flat"
"""The profile fitted to the range of rates that the paper's eight GPUs sustain (Fig. 5c): what its loads are a share of."""
MODELLED: Final = ("modelled", "modelled-flat")
"""Profiles modelled after the paper's test bed: its rates hold there as they are printed."""


def capacity_qps(profile: Profile, workers: int) -> float:
    """What the fastest subnet sustains at its best batch size on all workers, in rows per second."""
    return workers * max(cell.batch_size * NS_PER_S / cell.plan_ns for cell in profile.cells())


def rate_factor(profile: Profile) -> float:
    """What the paper's rates are multiplied by on a profile: 1 on those modelled after its test bed, else the ratio of capacities."""
    if profile.metadata.get("name") in MODELLED:
        return 1.0
    return capacity_qps(profile, 1) / capacity_qps(load(REFERENCE), 1)


def slo_ns(profile: Profile) -> int:
    """The paper's 36 ms where the slowest batch fits into it, else 1.2 times that batch."""
    slowest = max(cell.plan_ns for cell in profile.cells())
    return PAPER_SLO_NS if slowest <= PAPER_SLO_NS else round(1.2 * slowest)
