"""Scales: by how much a worker is slower than its profile says, in thousandths, so that decisions stay in whole numbers."""

from typing import Final

from superserve_cli.engine.steps import Ints

AS_PLANNED: Final = 1000
"""The scale of a worker that is as fast as its profile says."""


def multiplied(times_ns: Ints, thousandths: int) -> list[int]:
    """Latencies, or the slacks from which on they fit, of a worker that is slower by a factor: what fits scales with them."""
    return [-(-times_ns[at] * thousandths // AS_PLANNED) for at in range(len(times_ns))]
