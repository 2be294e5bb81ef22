from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from superserve_cli.core.nouns import NS_PER_MS, Subnet
from superserve_cli.profiles.measure import Samples


class Prediction(NamedTuple):
    """How far what a search foretold lies from what was measured.

    Latencies: relative errors of `cells` subnets at one batch size, after one global `scale` for all of them. `accuracy` is the
    mean absolute error over the same subnets, None where accuracies were not measured.
    """

    batch_size: int
    cells: int
    scale: float
    latency_median: float
    latency_p90: float
    accuracy: float | None


def compare(
    predicted: Mapping[str, Any],
    subnets: Sequence[Subnet],
    batch_sizes: Sequence[int],
    samples: Samples,
    accuracies: Sequence[float] | None,
) -> Prediction | None:
    """The errors of a search's prediction, `predicted` as in supernet.json; None where it foretold nothing that was measured."""
    size, foretold = predicted.get("batch_size"), predicted.get("subnets") or {}
    both = [i for i, subnet in enumerate(subnets) if _known(foretold.get(subnet))]
    if not isinstance(size, int) or size not in batch_sizes or not both:
        return None
    expected = np.array([foretold[subnets[i]]["latency_ms"] for i in both], dtype=float)
    found = np.median(samples[:, both, batch_sizes.index(size)], axis=0) / NS_PER_MS
    scale = float(np.median(found / expected))
    error = np.abs(scale * expected - found) / found
    apart = None if accuracies is None else [abs(foretold[subnets[i]]["accuracy"] - accuracies[i]) for i in both]
    return Prediction(
        batch_size=size,
        cells=len(both),
        scale=scale,
        latency_median=float(np.median(error)),
        latency_p90=float(np.quantile(error, 0.9)),
        accuracy=None if apart is None else float(np.mean(apart)),
    )


def _known(row: Mapping[str, Any] | None) -> bool:
    return row is not None and all(isinstance(row.get(name), int | float) for name in ("accuracy", "latency_ms")) and row["latency_ms"] > 0
