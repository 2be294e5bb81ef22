"""Several kinds of requests in one generated trace: who asks, how urgently, how accurately, in how many rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.errors import BadFile
from superserve_cli.traces import files
from superserve_cli.traces.text import content, parse
from superserve_cli.traces.trace import Trace

COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "share": pa.float64(),
    "tenant": pa.string(),
    "slo_ms": pa.float64(),
    "min_accuracy": pa.float64(),
    "size": pa.int32(),
}
HINT: Final = f"a mix is a CSV file with the column share, any of {', '.join(list(COLUMNS)[1:])}, and a line for each kind of request"
STREAM: Final = 1
"""The kinds are drawn apart from the arrivals: with a mix and without it, a seed gives the same arrivals."""


@dataclass(frozen=True)
class Mix:
    """Kinds of requests, and how often each comes.

    `share` (kinds,) sums to 1; `kinds` holds one exemplary request of each kind.
    """

    share: NDArray[np.float64]
    kinds: Trace

    @property
    def rows(self) -> float:
        """The mean number of rows of a request."""
        return 1.0 if self.kinds.size is None else float(self.share @ self.kinds.size)

    def dealt(self, trace: Trace, seed: int) -> Trace:
        """The same arrivals, each of a kind drawn independently of all others."""
        uniform = np.random.default_rng((seed, STREAM)).random(len(trace))
        kind = np.searchsorted(np.cumsum(self.share)[:-1], uniform, side="right")
        slo_ns, min_accuracy, size = self.kinds.slo_ns, self.kinds.min_accuracy, self.kinds.size
        return replace(
            trace,
            slo_ns=None if slo_ns is None else slo_ns[kind],
            min_accuracy=None if min_accuracy is None else min_accuracy[kind],
            size=None if size is None else size[kind],
            tenant=None if self.kinds.tenant is None else self.kinds.tenant.take(pa.array(kind)),
            metadata={**trace.metadata, "mix": self.described()},
        )

    def described(self) -> list[dict[str, Any]]:
        """Each kind as a record: its share, and the columns of a trace that say something about it."""
        columns = files.to_table(self.kinds).drop_columns("arrival_ns")
        records = columns.to_pylist() if columns.num_columns else [{} for _ in self.share]
        return [{"share": share, **record} for share, record in zip(self.share.tolist(), records, strict=True)]


def read(path: Path) -> Mix:
    """The mix of a CSV file; shares are relative to their sum. Raises BadFile."""
    table = parse(path, content(path, HINT), lambda header: _columns(path, header), HINT)
    if not len(table):
        raise BadFile(f"{path} holds no kind of request", hint=HINT)
    share = table["share"].fill_null(np.nan).to_numpy()
    if (bad := ~((share > 0) & np.isfinite(share))).any():
        at = int(np.argmax(bad))
        raise BadFile(f"{path}, line {at + 2}: share {share[at]:g} is not above 0", hint="shares are relative: 3 and 1, or 0.75 and 0.25")
    return Mix(share / share.sum(), files.kinds(path, table))


def _columns(path: Path, header: list[str]) -> dict[str, pa.DataType]:
    if unknown := [name for name in header if name not in COLUMNS]:
        raise BadFile(f"{path} has a column {unknown[0]!r}", hint=HINT)
    if "share" not in header:
        raise BadFile(f"{path} lacks the column share", hint=HINT)
    return {name: COLUMNS[name] for name in header}
