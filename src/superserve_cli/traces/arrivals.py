"""Point processes: arrival times in ns, sorted, within [0, duration), whose expected number is exactly rate times duration."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.traces.ramp import Ramp

Arrivals = NDArray[np.int64]

PAPER_BASE_SHARE = 1500 / (1500 + 5550)
"""lambda_b / (lambda_b + lambda_v) of the bursty trace that SuperServe compares policies on (NSDI 2025, Fig. 11c)."""
PAPER_CV2 = 8.0
SMALLEST_CV2 = 1e-12
"""Below this, gaps differ by less than a millionth of themselves."""


def poisson(rng: Generator, qps: float, duration_ns: int) -> Arrivals:
    """A Poisson process of constant rate."""
    return shaped(rng, np.ones(1), qps, duration_ns)


def shaped(rng: Generator, shape: NDArray[np.float64], qps: float, duration_ns: int) -> Arrivals:
    """A Poisson process whose rate is piecewise constant: bins of equal length, relative rates `shape` (bins,), mean rate `qps`.

    The time-change theorem: unit-rate arrivals, here the order statistics of uniform numbers, mapped through the inverse of the
    cumulative rate. (Normalised sums of exponentials are such order statistics, and need no sorting.)
    """
    count = int(rng.poisson(qps * duration_ns / NS_PER_S))
    sums = np.cumsum(rng.standard_exponential(count + 1))
    cumulative = np.concatenate(([0.0], np.cumsum(shape)))
    edges = np.linspace(0.0, duration_ns, len(cumulative))
    return _whole(np.interp(sums[:-1] / sums[-1], cumulative / cumulative[-1], edges), duration_ns)


def bursty(rng: Generator, qps: float, duration_ns: int, cv2: float, base_share: float) -> Arrivals:
    """A base of constant spacing and a variant with gamma gaps of squared coefficient of variation `cv2` (SuperServe, section 6)."""
    base = constant(rng, qps * base_share, duration_ns)
    variant = gamma(rng, qps * (1 - base_share), duration_ns, cv2)
    return np.sort(np.concatenate((base, variant)), kind="stable")


def constant(rng: Generator, qps: float, duration_ns: int) -> Arrivals:
    """Equal gaps from a random phase."""
    if qps == 0:
        return np.empty(0, np.int64)
    count = qps * duration_ns / NS_PER_S
    ticks = np.arange(np.ceil(count) + 1) + rng.random()
    return _whole(ticks[ticks < count] * (NS_PER_S / qps), duration_ns)


def gamma(rng: Generator, qps: float, duration_ns: int, cv2: float) -> Arrivals:
    """A renewal process in equilibrium with gamma gaps of shape 1/cv2 and scale cv2/rate; without variation it is `constant`."""
    if qps == 0 or cv2 < SMALLEST_CV2:
        return constant(rng, qps, duration_ns)
    return _whole(_renewals(rng, qps * duration_ns / NS_PER_S, cv2) * (NS_PER_S / qps), duration_ns)


def accelerating(rng: Generator, ramp: Ramp, duration_ns: int, cv2: float) -> Arrivals:
    """Arrivals whose mean rate follows a ramp (SuperServe, section 6): gamma gaps of `cv2` in operational time.

    The time change of `shaped`: a renewal process of unit rate, mapped through the inverse of the expected number until t. Locally its
    gaps have the mean 1 / rate and the squared coefficient of variation cv2.
    """
    count = ramp.expected(duration_ns / NS_PER_S)
    units = np.arange(np.ceil(count) + 1) + rng.random() if cv2 < SMALLEST_CV2 else _renewals(rng, count, cv2)
    return _whole(ramp.when(units[units < count]) * NS_PER_S, duration_ns)


def _renewals(rng: Generator, count: float, cv2: float) -> NDArray[np.float64]:
    """A renewal process of mean gap 1 within [0, count), in equilibrium, with gamma gaps.

    The first gap is a uniform share of a length-biased one (Cox, Renewal Theory, section 5.2): a process that begins with a whole
    gap has (cv2 - 1) / 2 arrivals too many.
    """
    now = rng.random() * rng.gamma(1 / cv2 + 1, cv2)
    pieces = []
    while now < count:
        gaps = rng.gamma(1 / cv2, cv2, size=int(count - now + 4 * np.sqrt(cv2 * count)) + 16)
        pieces.append(now + np.concatenate(([0.0], np.cumsum(gaps[:-1]))))
        now = pieces[-1][-1] + gaps[-1]
    times = np.concatenate(pieces or [np.empty(0)])
    return np.asarray(times[times < count])


def _whole(times_ns: NDArray[np.float64], duration_ns: int) -> Arrivals:
    # rounding of the floats alone could put the last arrival on the end
    return np.minimum(times_ns.astype(np.int64), duration_ns - 1)
