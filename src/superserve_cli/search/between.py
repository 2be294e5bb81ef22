"""Latencies of layers that were not measured, from those of their kind that were."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from superserve_cli.search.genes import Numbers
from superserve_cli.search.layer import Work

ENOUGH: Final = 10
"""So many layers of a kind have a law of their own; others follow that of all kinds."""
DAMPING: Final = 1e-3


class _Law(NamedTuple):
    """ln(ns) = weights . (1, ln MACs, ln bytes moved, ln bytes of weights), each counted from 1."""

    weights: Numbers
    left_out: Numbers


@dataclass(frozen=True)
class Between:
    """Power laws in multiply-accumulates and bytes, one for each kind of layer.

    `errors` are relative, of each measured layer when the law of its kind is fitted to the others.
    """

    laws: Mapping[str, _Law]
    every: _Law
    errors: Numbers

    def __call__(self, work: Work) -> float:
        """The latency of a layer, in ns."""
        law = self.laws.get(work.kind, self.every)
        return float(np.exp(_features([work]) @ law.weights)[0])


def between(works: Iterable[Work], p50_ns: Mapping[str, int]) -> Between:
    """The laws that fit measured layers best, by least squares of relative errors."""
    kinds: dict[str, list[Work]] = {}
    for work in works:
        if work.key in p50_ns:
            kinds.setdefault(work.kind, []).append(work)
    laws = {kind: _law(members, p50_ns) for kind, members in kinds.items() if len(members) >= ENOUGH}
    every = _law([work for members in kinds.values() for work in members], p50_ns)
    return Between(laws, every, np.concatenate([law.left_out for law in laws.values()] or [every.left_out]))


def _features(works: list[Work]) -> Numbers:
    return np.array([[1.0, *np.log1p([work.macs, work.moved, work.held])] for work in works])


def _law(works: list[Work], p50_ns: Mapping[str, int]) -> _Law:
    x, y = _features(works), np.log([p50_ns[work.key] for work in works])
    inverse = np.linalg.inv(x.T @ x + DAMPING * np.eye(x.shape[1]))
    weights = inverse @ (x.T @ y)
    lever = np.einsum("ij,jk,ik->i", x, inverse, x)
    residual = (y - x @ weights) / np.maximum(1 - lever, DAMPING)  # what it is when the fit leaves this one out
    return _Law(weights, np.abs(np.expm1(residual)))
