"""Which subnets no other one beats in latency and accuracy, and how they are found in spaces too large to look at whole."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Progress, silent
from superserve_cli.search.genes import Codes, Genes, Numbers, distinct

SMALL: Final = 20_000
"""Spaces up to this size are looked at whole."""
POPULATION: Final = 2_000
GENERATIONS: Final = 400
PATIENCE: Final = 20
GAIN: Final = 1e-5
"""The search is over when so many generations have not enlarged the hypervolume by more than this share."""


class Points(NamedTuple):
    """Subnets (n, genes) with their latency (n,) in ms and their accuracy (n,)."""

    codes: Codes
    latency: Numbers
    accuracy: Numbers

    def at(self, rows: NDArray[np.int64]) -> "Points":
        """Some of them."""
        return Points(self.codes[rows], self.latency[rows], self.accuracy[rows])

    def and_(self, others: "Points") -> "Points":
        """These and others."""
        return Points(
            np.concatenate((self.codes, others.codes)),
            np.concatenate((self.latency, others.latency)),
            np.concatenate((self.accuracy, others.accuracy)),
        )


Judge = Callable[[Codes], Points]
"""Gives subnets their latency and accuracy."""


@dataclass(frozen=True)
class Front:
    """The Pareto front, the fastest first; `hypervolumes` by generation, of which there is one where the whole space was looked at.

    `near` are subnets just behind the front, the nearest first: predictions err, and they may well be on the measured one.
    """

    points: Points
    near: Points
    hypervolumes: tuple[float, ...]
    judged: int
    whole: bool
    timed_out: bool = False


def best(points: Points) -> Points:
    """Those that no other one matches in accuracy at the same latency or less, the fastest first."""
    order = np.lexsort((-points.accuracy, points.latency))
    sorted_ = points.accuracy[order]
    before = np.concatenate(([-np.inf], np.maximum.accumulate(sorted_)[:-1]))
    return points.at(order[sorted_ > before])


def behind(points: Points, size: int) -> Points:
    """At most `size` different points that are not the best: the best of those without the best, the best without these, and so on."""
    rest = points.at(np.unique(points.codes, axis=0, return_index=True)[1])
    rest = _without(rest, best(rest))
    found = rest.at(np.arange(0))
    while len(found.latency) < size and len(rest.latency):
        layer = best(rest)
        rest, found = _without(rest, layer), found.and_(layer)
    return found.at(np.arange(min(size, len(found.latency))))


def _without(points: Points, some: Points) -> Points:
    gone = {code.tobytes() for code in some.codes}
    return points.at(np.array([i for i, code in enumerate(points.codes) if code.tobytes() not in gone], int))


def hypervolume(front: Points, slowest: float, worst: float) -> float:
    """The area between a front and the corner (slowest, worst) that it dominates; points beyond the corner add nothing."""
    inside = front.latency <= slowest
    latency, accuracy = front.latency[inside], np.maximum(front.accuracy[inside], worst)
    return float(np.sum((slowest - latency) * np.diff(accuracy, prepend=worst)))


def thinned(front: Points, size: int) -> Points:
    """At most `size` points, spread evenly along the front, both ends among them."""
    if len(front.latency) <= size:
        return front
    way = np.cumsum(_steps(front.latency) + _steps(front.accuracy))
    wanted = np.linspace(0, way[-1], size)
    chosen = set(np.searchsorted(way, wanted).clip(0, len(way) - 1).tolist())
    others = (i for i in np.random.default_rng(0).permutation(len(way)).tolist() if i not in chosen)
    while len(chosen) < size:  # several wanted places may have one nearest point
        chosen.add(next(others))
    return front.at(np.array(sorted(chosen)))


def _steps(values: Numbers) -> Numbers:
    span = np.ptp(values)
    return np.abs(np.diff(values, prepend=values[0])) / (span or 1.0)


def find(genes: Genes, judge: Judge, *, size: int, seed: int = 0, seconds: float = 60, progress: Progress = silent) -> Front:
    """The front of a space: of all its subnets where they are few, else by evolution, filled up to `size` with what is near."""
    if genes.space.size <= SMALL:
        points = judge(genes.all())
        progress(len(points.latency), len(points.latency), "the whole space")
        found = best(points)
        volume = hypervolume(found, points.latency.max(), points.accuracy.min())
        return Front(found, points.at(np.arange(0)), (volume,), len(points.latency), whole=True)
    return evolve(genes, judge, size=size, seed=seed, seconds=seconds, progress=progress)


def evolve(
    genes: Genes,
    judge: Judge,
    *,
    size: int = 0,
    seed: int = 0,
    seconds: float = 60,
    generations: int = GENERATIONS,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress = silent,
) -> Front:
    """Children of the front, generation by generation, until it hardly grows; nothing that is on the front is ever lost.

    Parents are drawn evenly over the logarithm of latency, so that no part of the front is neglected; half of the children have one.
    The same seed finds the same front, unless the seconds run out.
    """
    rng, begun = np.random.default_rng(seed), clock()
    everything = judge(_first(genes, rng))
    slowest, worst = everything.latency.max(), everything.accuracy.min()
    front, near = best(everything), behind(everything, size)
    volumes, judged, out = [hypervolume(front, slowest, worst)], len(everything.latency), False
    while len(volumes) <= generations and not _settled(volumes) and not out:
        children = judge(_children(genes, front, rng))
        seen = front.and_(near).and_(children)
        front = best(seen)
        near = behind(seen, size - len(front.latency))
        volumes.append(hypervolume(front, slowest, worst))
        judged += len(children.latency)
        progress(len(volumes) - 1, generations, f"{len(front.latency)} on the front")
        out = clock() - begun > seconds
    progress(generations, generations, f"{len(front.latency)} on the front")
    return Front(front, near, tuple(volumes), judged, whole=False, timed_out=out and not _settled(volumes))


def _first(genes: Genes, rng: np.random.Generator) -> Codes:
    """The extremes, uniform samples, and subnets that are altogether small, altogether large, or between."""
    level = rng.random((POPULATION // 2, 1))
    graded = rng.binomial(genes.counts - 1, np.broadcast_to(level, (len(level), len(genes.counts)))).astype(np.int16)
    return np.concatenate((genes.extremes, genes.sample(POPULATION // 2, rng), genes.canonical(graded)))


def _children(genes: Genes, front: Points, rng: np.random.Generator) -> Codes:
    one, other = _parents(front, rng), _parents(front, rng)
    single = rng.random((POPULATION, 1)) < 0.5
    crossed = np.where(single, one, genes.cross(one, other, rng)).astype(np.int16)
    chance = rng.choice([1.0, 2.0, 4.0], (POPULATION, 1)) / len(genes.counts)
    return distinct(genes.mutate(crossed, chance, rng))


def _parents(front: Points, rng: np.random.Generator) -> Codes:
    logs = np.log(front.latency)
    wanted = rng.uniform(logs[0], logs[-1], POPULATION)
    return np.asarray(front.codes[np.searchsorted(logs, wanted).clip(0, len(logs) - 1)])


def _settled(volumes: list[float]) -> bool:
    return len(volumes) > PATIENCE and volumes[-1] - volumes[-1 - PATIENCE] <= GAIN * volumes[-1]
