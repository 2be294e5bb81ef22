from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Trace:
    """Intended arrivals, by id from 0, and what each request asks for.

    `arrival_ns` (n,) int64, >= 0 and non-decreasing, since the trace's own origin; `slo_ns` (n,) int64, 0 where the request has
    none of its own (the run's SLO holds); `min_accuracy` (n,) float64, 0 for no floor, or None; `size` (n,) int32 rows per
    request, or None for one each; `tenant`, `model` Arrow string arrays or None. `source` says in a word where it came from,
    `synthetic` whether it was generated.
    """

    arrival_ns: NDArray[np.int64]
    slo_ns: NDArray[np.int64] | None = None
    min_accuracy: NDArray[np.float64] | None = None
    size: NDArray[np.int32] | None = None
    tenant: pa.Array | None = None
    model: pa.Array | None = None
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def deadlines_ns(self, slo_ns: int) -> NDArray[np.int64]:
        """Arrival + SLO, with `slo_ns` for the requests that have none of their own."""
        own = slo_ns if self.slo_ns is None else np.where(self.slo_ns > 0, self.slo_ns, slo_ns)
        return np.asarray(self.arrival_ns + own, dtype=np.int64)
