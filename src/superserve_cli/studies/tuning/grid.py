"""The bursty traces of the SuperServe paper (NSDI 2025, Fig. 9), at the same utilisation on any profile."""

from typing import Final

from superserve_cli import profiles, traces
from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.profiles import Profile
from superserve_cli.traces import Trace

BASE_QPS: Final = 1500.0
VARIANT_QPS: Final = (2950.0, 4900.0, 5550.0)
CV2: Final = (2.0, 4.0, 8.0)
REFERENCE: Final = "modelled"
"""The shipped profile on which the paper's rates are taken as they are."""


def factor(profile: Profile) -> float:
    """What the paper's rates are multiplied by: what the fastest served subnet sustains here / what it does on the reference."""
    return _fastest_qps(profile) / _fastest_qps(profiles.load(REFERENCE).served())


def bursty(times: float, seed: int, duration_s: float | None = None) -> list[Trace]:
    """The nine traces: every rate of the variant at every CV^2, all rates multiplied by `times`."""
    return [
        traces.load("bursty", qps=times * (BASE_QPS + variant), cv2=cv2, base_share=_share(variant), duration_s=duration_s, seed=seed)
        for variant in VARIANT_QPS
        for cv2 in CV2
    ]


def _share(variant_qps: float) -> float:
    return BASE_QPS / (BASE_QPS + variant_qps)


def _fastest_qps(profile: Profile) -> float:
    """Rows per second of one worker with the fastest subnet at its best batch size."""
    return max(size * NS_PER_S / plan_ns for size, plan_ns in zip(profile.batch_sizes, profile.plan[0], strict=True))
