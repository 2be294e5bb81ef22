"""From samples to the rows of `profile.parquet`."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.profiles.files import QUANTILES
from superserve_cli.profiles.measure import Samples
from superserve_cli.profiles.profile import LEVELS

ENOUGH_ROUNDS: Final = 100
"""From so many samples on, the p99 of a cell is its own."""


def rows(
    samples: Samples,
    subnets: Sequence[Subnet],
    batch_sizes: Sequence[int],
    accuracies: Sequence[float],
    macs: Sequence[int | None],
    params: Sequence[int | None],
    shape: str,
    kind: str = "measured",
) -> pa.Table:
    """One row per (subnet, batch size): planned latency, quantiles, accuracy and its `kind`, and what the subnet costs."""
    cells = len(subnets) * len(batch_sizes)
    planned, _ = plan_ns(samples)

    def by_subnet(values: Sequence[object], kind: pa.DataType) -> pa.Array:
        return pa.array([value for value in values for _ in batch_sizes], kind)

    return pa.table(
        {
            "subnet": by_subnet(subnets, pa.string()),
            "batch_size": pa.array(list(batch_sizes) * len(subnets), pa.int32()),
            "plan_ns": pa.array(planned.ravel()),
            "accuracy": by_subnet(accuracies, pa.float64()),
            **{name: pa.array(values.ravel()) for name, values in zip(QUANTILES, quantiles_ns(samples), strict=True)},
            "shape": pa.array([shape] * cells),
            "accuracy_kind": pa.array([kind] * cells),
            "samples": pa.array([len(samples)] * cells, pa.int32()),
            "macs": by_subnet(macs, pa.int64()),
            "params": by_subnet(params, pa.int64()),
        }
    )


def quantiles_ns(samples: Samples) -> NDArray[np.int64]:
    """The LEVELS of each cell, (levels, subnets, batch sizes), by linear interpolation."""
    return np.rint(np.quantile(samples, LEVELS, axis=0)).astype(np.int64)


def plan_ns(samples: Samples) -> tuple[NDArray[np.int64], str]:
    """What planning uses for each cell, never less than its median, and in words where that comes from.

    p99 where there are samples enough for one. Otherwise the median times the p99 of all samples over the median of their cell:
    a tail that all cells lend each other.
    """
    if len(samples) >= ENOUGH_ROUNDS:
        return quantiles_ns(samples)[LEVELS.index(0.99)], "p99"
    median = np.median(samples, axis=0)
    ratio = max(1.0, float(np.quantile(samples / median, 0.99)))
    return np.ceil(median * ratio).astype(np.int64), f"median x {ratio:.3f}, the p99/median ratio pooled over all cells"
