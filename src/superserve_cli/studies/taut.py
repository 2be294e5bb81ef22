"""Taut strings: how a single machine shares its time most evenly among requests that must be served in order.

Request k (from 0) is served from T(k) to T(k + 1), inside its window: opens(k) <= T(k) and T(k + 1) <= closes(k). Pulled taut between
its two ends, T is the shortest path through the corridor opens(k) <= T(k) <= closes(k - 1); among all paths through it, the steps of
the shortest have the greatest sum of v for every concave v (Barlow et al., Statistical Inference under Order Restrictions, 1972,
1.2). Where a window opens only when the one before has closed, the string ends, and another begins. The path is found with the
funnel algorithm (Lee and Preparata, Networks 14, 1984), every corner entering and leaving a chain once: O(n).
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

Ints = NDArray[np.int64]
OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""Nothing in the loop allocates, so it needs no reference counts (_nrt)."""


class Chain(NamedTuple):
    """One wall of the funnel: corners (at, ns) from the funnel's tip on; only those from `ends[0]` to below `ends[1]` stand.

    The lower wall has its times negated: seen so, both bend the same way.
    """

    at: Ints
    ns: Ints
    ends: Ints


def _compiled(function: Callable[..., None]) -> Any:
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no folder to cache in (read-only installation, no home): compile in every process
        return njit(**OPTIONS)(function)


@register_jitable(forceinline=True)
def _slope(chain: Chain, i: int, at: int, ns: int) -> float:
    """The slope from a corner of a chain to a point."""
    slope: float = (ns - chain.ns[i]) / (at - chain.at[i])
    return slope


@register_jitable(forceinline=True)
def _extend(near: Chain, far: Chain, at: int, ns: int, shares_ns: NDArray[np.float64]) -> None:
    """The wall `near` gets a corner; where the funnel closes, its tip moves along the wall `far`, and the way there is final."""
    tip, end = near.ends[0], near.ends[1]
    while end - tip > 1 and _slope(near, end - 2, near.at[end - 1], near.ns[end - 1]) >= _slope(near, end - 2, at, ns):
        end -= 1
    while end - tip == 1 and far.ends[1] - far.ends[0] > 1:
        passed = far.ends[0]
        step_ns = _slope(far, passed, far.at[passed + 1], far.ns[passed + 1])
        if -step_ns < _slope(near, tip, at, ns):
            break
        for k in range(far.at[passed], far.at[passed + 1]):
            shares_ns[k] = abs(step_ns)
        near.at[tip], near.ns[tip] = far.at[passed + 1], -far.ns[passed + 1]
        far.ends[0] = passed + 1
    near.at[end], near.ns[end] = at, ns
    near.ends[1] = end + 1


@register_jitable(forceinline=True)
def _pull(opens_ns: Ints, closes_ns: Ints, first: int, last: int, high: Chain, low: Chain, shares_ns: NDArray[np.float64]) -> None:
    """One string, for the requests from `first` to below `last`, from the opening of the first window to the close of the last."""
    high.at[0], high.ns[0] = first, opens_ns[first]
    low.at[0], low.ns[0] = first, -opens_ns[first]
    high.ends[0], high.ends[1] = 0, 1
    low.ends[0], low.ends[1] = 0, 1
    for k in range(first + 1, last + 1):
        _extend(high, low, k, closes_ns[k - 1], shares_ns)
        _extend(low, high, k, -(opens_ns[k] if k < last else closes_ns[k - 1]), shares_ns)
    tip = low.ends[0]
    for k in range(low.at[tip], last):
        shares_ns[k] = (closes_ns[last - 1] + low.ns[tip]) / (last - low.at[tip])


def shares_ns(opens_ns: Ints, closes_ns: Ints) -> NDArray[np.float64]:
    """The steps of the taut strings, (n,) ns: how long each request has the machine. Both ends of windows must not decrease."""
    n = len(opens_ns)
    shares = np.empty(n)
    _pull_all(np.array(opens_ns, np.int64), np.array(closes_ns, np.int64), _chain(n + 1), _chain(n + 1), shares)
    return shares


def _chain(corners: int) -> Chain:
    return Chain(np.empty(corners, np.int64), np.empty(corners, np.int64), np.empty(2, np.int64))


@_compiled
def _pull_all(opens_ns: Ints, closes_ns: Ints, high: Chain, low: Chain, shares_ns: NDArray[np.float64]) -> None:
    first, n = 0, len(opens_ns)
    for last in range(1, n + 1):
        if last == n or opens_ns[last] >= closes_ns[last - 1]:
            _pull(opens_ns, closes_ns, first, last, high, low, shares_ns)
            first = last
