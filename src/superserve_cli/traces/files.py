"""`trace/1`: a Parquet file of requests, and the CSV that other people's traces come in."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.core import files
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.errors import BadFile
from superserve_cli.traces.text import read_csv
from superserve_cli.traces.trace import Trace

SCHEMA: Final = "trace/1"
REQUIRED: Final = {"arrival_ns": pa.int64()}
OPTIONAL: Final = {
    "slo_ns": pa.int64(),
    "tenant": pa.string(),
    "model": pa.string(),
    "shape": pa.string(),
    "min_accuracy": pa.float64(),
    "size": pa.int32(),
    "job": pa.int64(),
}
Refuse = Callable[[NDArray[np.bool_], str, str, str], None]
"""(rows that are wrong, their column, what is wrong with it, a hint): complains about the first, if there is one."""
HINT: Final = "write one with `superserve trace`"
CSV_HINT: Final = "a CSV trace has a header with arrival_ns or arrival_s, and optionally slo_ms, tenant, model, min_accuracy, size"
CSV_COLUMNS: Final = {**REQUIRED, **OPTIONAL, "arrival_s": pa.float64(), "slo_ms": pa.float64()}
ORIGIN_HINT: Final = "arrivals count from the trace's own origin, and ascend"
FURTHEST_NS: Final = 2**60
"""Arrivals and SLOs stay below this, 36 years, so that a simulation's sums of them fit int64; an arrival since 1970 is beyond it."""


def save(path: Path, trace: Trace) -> None:
    """A trace as Parquet, with its provenance and a hash over its contents in the metadata."""
    described = {**trace.metadata, "source": trace.source, "hash": content_hash(trace)}
    files.write_table(path, to_table(trace), SCHEMA, described)


def content_hash(trace: Trace) -> str:
    """SHA-256 over the requests, equal for equal requests from whatever kind of file."""
    return files.content_hash(to_table(trace))


def to_table(trace: Trace) -> pa.Table:
    """The file's columns: those that say something about at least one request."""
    columns = {"arrival_ns": pa.array(trace.arrival_ns)}
    if trace.slo_ns is not None and trace.slo_ns.any():
        columns["slo_ns"] = pa.array(trace.slo_ns, mask=trace.slo_ns == 0)
    if trace.min_accuracy is not None and trace.min_accuracy.any():
        columns["min_accuracy"] = pa.array(trace.min_accuracy)
    if trace.size is not None and (trace.size != 1).any():
        columns["size"] = pa.array(trace.size)
    labels = {"tenant": trace.tenant, "model": trace.model}
    return pa.table(columns | {name: column for name, column in labels.items() if column is not None})


def read(path: Path) -> Trace:
    """The trace of a Parquet or CSV file (`.csv`, `.csv.gz`), checked; raises BadFile."""
    if path.name.endswith((".csv", ".csv.gz")):
        return _of_table(path, _from_csv(path), {}, first_line=2)
    table, metadata = files.read_table(path, SCHEMA, REQUIRED, OPTIONAL, HINT)
    return _of_table(path, table, _provenance(metadata), first_line=None)


def _provenance(metadata: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in metadata.items() if key not in ("schema", "source", "hash")}
    duration = told.get("duration_s", 0)
    if not (isinstance(duration, int | float) and 0 <= duration < FURTHEST_NS / NS_PER_S):
        del told["duration_s"]
    return told


def _from_csv(path: Path) -> pa.Table:
    table = read_csv(path, CSV_COLUMNS, CSV_HINT)
    given = {"arrival_ns", "arrival_s"} & set(table.column_names)
    if len(given) != 1 or {"slo_ns", "slo_ms"} <= set(table.column_names):
        raise BadFile(f"{path} has not exactly one column of arrivals, and at most one of SLOs", hint=CSV_HINT)
    return _scaled(path, table)


def kinds(path: Path, table: pa.Table) -> Trace:
    """Requests that lack nothing but an arrival, from the lines of a CSV file; raises BadFile."""
    return _of_table(path, _scaled(path, table).append_column("arrival_ns", pa.array(np.zeros(len(table), np.int64))), {}, first_line=2)


def _scaled(path: Path, table: pa.Table) -> pa.Table:
    """The same columns, and beside those of the edge the ones in ns."""
    for name, scaled, factor in (("arrival_s", "arrival_ns", NS_PER_S), ("slo_ms", "slo_ns", NS_PER_MS)):
        if name in table.column_names:
            table = table.append_column(scaled, _nanoseconds(path, table, name, factor))
    return table


def _nanoseconds(path: Path, table: pa.Table, name: str, factor: int) -> pa.ChunkedArray:
    column = table[name]
    values = column.to_numpy() * factor  # nulls are NaN here
    out_of_range = ~(np.abs(np.where(column.is_null(), 0, values)) < FURTHEST_NS)
    _refuse(path, table, 2, out_of_range, name, "is not a time within 36 years", ORIGIN_HINT if name == "arrival_s" else CSV_HINT)
    return pa.chunked_array([pa.array(np.rint(np.nan_to_num(values)).astype(np.int64), mask=column.is_null().to_numpy())])


def _of_table(path: Path, table: pa.Table, metadata: dict[str, Any], first_line: int | None) -> Trace:
    if not len(table):
        raise BadFile(f"{path} holds no request", hint="a trace has at least one arrival")
    refuse = partial(_refuse, path, table, first_line)
    return Trace(
        arrival_ns=_arrivals(table, refuse),
        slo_ns=_slos(table, refuse),
        min_accuracy=_floors(table, refuse),
        size=_sizes(table, refuse),
        tenant=_optional(table, "tenant"),
        model=_optional(table, "model"),
        source=f"file:{path.name}",
        metadata=metadata,
    )


def _refuse(path: Path, table: pa.Table, first_line: int | None, bad: NDArray[np.bool_], name: str, why: str, hint: str) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        where = f"row {at}" if first_line is None else f"line {at + first_line}"
        raise BadFile(f"{path}, {where}: {name} {table[name][at].as_py()} {why}", hint=hint)


def _arrivals(table: pa.Table, refuse: Refuse) -> NDArray[np.int64]:
    given = "arrival_s" if "arrival_s" in table.column_names else "arrival_ns"
    column = table["arrival_ns"]
    refuse(column.is_null().to_numpy(), given, "is empty", CSV_HINT)
    arrival = np.ascontiguousarray(column.to_numpy(), dtype=np.int64)
    refuse(arrival < 0, given, "is negative", ORIGIN_HINT)
    refuse(arrival > FURTHEST_NS, given, "is too far away", ORIGIN_HINT)
    refuse(np.concatenate(([False], np.diff(arrival) < 0)), given, "is earlier than the one before", "sort the requests by arrival")
    return arrival


def _slos(table: pa.Table, refuse: Refuse) -> NDArray[np.int64] | None:
    if (column := _optional(table, "slo_ns")) is None:
        return None
    filled = _numbers(column, 1)
    given = "slo_ms" if "slo_ms" in table.column_names else "slo_ns"
    refuse((filled <= 0) | (filled > FURTHEST_NS), given, "is no SLO; it must be positive", "leave it empty where the run's SLO holds")
    return _numbers(column, 0)


def _floors(table: pa.Table, refuse: Refuse) -> NDArray[np.float64] | None:
    if (column := _optional(table, "min_accuracy")) is None:
        return None
    filled = _numbers(column, 0.0)
    refuse(~((filled >= 0) & (filled <= 1)), "min_accuracy", "is not in 0..1", "write 78.2 % as 0.782")
    return filled


def _sizes(table: pa.Table, refuse: Refuse) -> NDArray[np.int32] | None:
    if (column := _optional(table, "size")) is None:
        return None
    filled = _numbers(column, 1)
    refuse(filled < 1, "size", "is no number of rows; it must be at least 1", "leave it empty for one row")
    return filled


def _numbers(column: pa.Array, missing: float) -> NDArray[Any]:
    filled: NDArray[Any] = column.fill_null(missing).to_numpy(zero_copy_only=False)
    return filled


def _optional(table: pa.Table, name: str) -> pa.Array | None:
    if name not in table.column_names or table[name].null_count == len(table):
        return None
    return table[name].combine_chunks()
