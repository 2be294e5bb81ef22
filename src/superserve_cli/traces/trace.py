from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S


@dataclass(frozen=True)
class Trace:
    """Intended arrivals, by id from 0, and what each request asks for.

    `arrival_ns` (n,) int64, >= 0 and non-decreasing, since the trace's own origin; `slo_ns` (n,) int64, 0 where the request has
    none of its own (the run's SLO holds); `min_accuracy` (n,) float64, 0 for no floor, or None; `size` (n,) int32 rows per
    request, or None for one each; `tenant`, `model` Arrow string arrays or None. `source` says in a word where it came from;
    `metadata` is the provenance that a file keeps: synthetic, duration_s, and a generator's seed and parameters.
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

    @property
    def rows(self) -> int:
        """The rows of all requests together."""
        return len(self) if self.size is None else int(self.size.sum())

    @property
    def synthetic(self) -> bool:
        """Whether a generator made the arrival rates up; those of `azure:FILE` are real."""
        return bool(self.metadata.get("synthetic", False))

    @property
    def duration_ns(self) -> int:
        """The span that was generated, or where none is known, until the last arrival (itself included)."""
        until_last = int(self.arrival_ns[-1]) + 1 if len(self) else 0
        known = self.metadata.get("duration_s")
        return until_last if known is None else max(until_last, round(known * NS_PER_S))

    def deadlines_ns(self, slo_ns: int) -> NDArray[np.int64]:
        """Arrival + SLO, with `slo_ns` for the requests that have none of their own."""
        return np.asarray(self.arrival_ns + self._slos_ns(slo_ns), dtype=np.int64)

    def with_slo(self, slo_ns: int) -> "Trace":
        """The same trace, in which the requests without an SLO of their own have this one."""
        return replace(self, slo_ns=np.array(np.broadcast_to(self._slos_ns(slo_ns), len(self)), dtype=np.int64))

    def _slos_ns(self, slo_ns: int) -> int | NDArray[np.int64]:
        if self.slo_ns is None:
            return slo_ns
        own = self.slo_ns > 0
        return self.slo_ns if own.all() else np.where(own, self.slo_ns, slo_ns)
