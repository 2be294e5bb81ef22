"""A search from beginning to end: take plans apart, measure layers, breed the front."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from superserve_cli.core.nouns import Progress, Subnet, silent
from superserve_cli.search import front as fronts
from superserve_cli.search import table as tables
from superserve_cli.search.accuracy import Accuracy
from superserve_cli.search.found import Found
from superserve_cli.search.genes import Codes, Genes
from superserve_cli.search.latency import Latency, latency
from superserve_cli.search.layer import Work
from superserve_cli.search.parts import Parts
from superserve_cli.search.timing import Bench, Run, Samples, measure
from superserve_cli.supernet import SuperNet


def parts_of(supernet: SuperNet) -> Parts:
    """The plans of a SuperNet, taken apart."""
    return Parts(supernet.architecture, Genes(supernet.space))


def measured(
    supernet: SuperNet,
    parts: Parts,
    measured_on: Mapping[str, Any],
    file: Path | None = None,
    *,
    seed: int = 0,
    seconds: float = 60,
    progress: Progress = silent,
) -> Latency:
    """Latencies of all subnets, from layers measured on the device where the SuperNet lies, within about some seconds.

    `measured_on` says what they hold for: device, threads, batch size. What `file` holds is not measured again; it keeps the rest.
    """
    known = tables.load(file, measured_on)
    bench = Bench(supernet, int(measured_on["batch_size"]))

    def bind(works: list[Work], subnets: list[Subnet]) -> dict[str, Run]:
        return {**bench.layers(works), **bench.subnets(subnets)}

    def sample(runs: Mapping[str, Run], keep: Callable[[Samples], None], bar: Progress) -> Samples:
        return measure(runs, seconds=seconds, seed=seed, keep=keep, progress=bar)

    def keep(table: tables.Table) -> None:
        if file is not None:
            tables.save(file, table)

    return latency(parts, known, bind, sample, seed=seed, keep=keep, progress=progress)


def search(
    latency: Latency, accuracy: Accuracy, *, size: int = 1000, seed: int = 0, seconds: float = 60, progress: Progress = silent
) -> Found:
    """The predicted Pareto front of at most `size` subnets; where it has fewer, with those that are nearest to it."""
    genes = latency.sum_ns.parts.genes

    def judge(codes: Codes) -> fronts.Points:
        return fronts.Points(codes, latency(codes), accuracy.of(codes))

    front = fronts.find(genes, judge, size=size, seed=seed, seconds=seconds, progress=progress)
    points = fronts.thinned(front.points, size).and_(front.near)
    return Found(genes, points.at(np.lexsort((points.accuracy, points.latency))), front, latency, accuracy)
