"""How long each subnet takes: the sum of its layers, times one factor that whole subnets were measured for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from superserve_cli.core.nouns import NS_PER_MS, Progress, Subnet, silent
from superserve_cli.search.between import Between, between
from superserve_cli.search.genes import Codes, Numbers
from superserve_cli.search.layer import Work
from superserve_cli.search.parts import Cost, Parts
from superserve_cli.search.table import Table
from superserve_cli.search.timing import Run, Samples

COLLECTED: Final = 400
"""Random subnets whose layers are measured; what others have beside these is interpolated."""
WHOLE: Final = 10
"""Random subnets that are measured whole, beside the smallest and the largest."""
MOST_LAYERS: Final = 2000
CLOSE: Final = 0.05


@dataclass(frozen=True)
class Errors:
    """Relative errors of predicted against measured latencies of whole subnets."""

    each: Numbers

    def to_json(self) -> dict[str, float]:
        """Their median, 90th percentile, and the share within 5 %."""
        return {
            "subnets": len(self.each),
            "median": float(np.median(self.each)),
            "p90": float(np.quantile(self.each, 0.9)),
            "within_5_percent": float(np.mean(self.each <= CLOSE)),
        }


@dataclass(frozen=True)
class Latency:
    """Predicted latencies of subnets in ms. `errors` are those of whole subnets, each predicted with the factor of the others."""

    sum_ns: Cost
    scale: float
    errors: Errors
    table: Table
    laws: Between

    def __call__(self, codes: Codes) -> Numbers:
        """Of subnets (n, genes), in ms."""
        return self.scale * self.sum_ns(codes) / NS_PER_MS

    @property
    def interpolated(self) -> int:
        """How many layers came up that were not measured."""
        return sum(key not in self.table.p50_ns for key in self.sum_ns.parts.seen)


Bind = Callable[[list[Work], list[Subnet]], Mapping[str, Run]]
"""What runs some layers, by their keys, and some whole subnets, by their ids."""
Measure = Callable[[Mapping[str, Run], Callable[[Samples], None], Progress], Samples]
"""Samples (rounds, runs), handed to the second argument after each round as well."""


def latency(
    parts: Parts,
    known: Table,
    bind: Bind,
    measure: Measure,
    *,
    seed: int = 0,
    keep: Callable[[Table], None] = lambda table: None,
    progress: Progress = silent,
) -> Latency:
    """Measure the layers that are not known and some whole subnets, in the same rounds; `keep` is handed the table as it grows."""
    rng = np.random.default_rng(seed)
    genes = parts.genes
    whole = np.concatenate((genes.extremes, genes.sample(WHOLE, rng)))
    whole = whole[np.sort(np.unique(whole, axis=0, return_index=True)[1])]
    parts.genes_of  # noqa: B018  # takes the plans apart, and sees their layers
    parts.collect(np.concatenate((whole, genes.sample(COLLECTED, rng))))
    works, subnets = _wanted(parts, known, rng), genes.decode(whole)
    runs = bind(works, subnets)

    def grown(samples: Samples) -> Table:
        medians = np.median(samples, axis=0).round().astype(int).tolist()
        return known.plus(dict(zip([work.key for work in works], medians, strict=False)), len(samples))

    samples = measure(runs, lambda so_far: keep(grown(so_far)), progress)
    table = grown(samples)
    return fitted(parts, table, whole, np.median(samples, axis=0)[len(works) :])


def _wanted(parts: Parts, known: Table, rng: np.random.Generator) -> list[Work]:
    """The layers to measure: all that are not known, or a random choice of them where they are too many."""
    unknown = [work for key, work in parts.seen.items() if key not in known.p50_ns]
    if len(unknown) <= MOST_LAYERS:
        return unknown
    return [unknown[i] for i in sorted(rng.choice(len(unknown), MOST_LAYERS, replace=False))]


def fitted(parts: Parts, table: Table, whole: Codes, measured_ns: Numbers) -> Latency:
    """The factor that fits whole subnets (n, genes) measured end to end, and what each of them says about its error."""
    laws = between(parts.seen.values(), table.p50_ns)
    summed = Cost(parts, lambda work: table.p50_ns.get(work.key) or laws(work))
    ratios = measured_ns / summed(whole)
    others = np.array([np.median(np.delete(ratios, i)) if len(ratios) > 1 else ratios[i] for i in range(len(ratios))])
    return Latency(summed, float(np.median(ratios)), Errors(np.abs(others / ratios - 1)), table, laws)
