"""What became of every request of a run: one row each, as columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from superserve_cli.core.files import read_table, write_table
from superserve_cli.errors import BadFile

SCHEMA: Final = "outcomes/1"
STATUSES: Final = ("met", "late", "dropped", "rejected", "failed")
MET, LATE, DROPPED, REJECTED, FAILED = range(5)
NEVER: Final = -1
"""A time that did not come, a worker that nobody was: null in the file."""

REQUIRED: Final = {
    "id": pa.int64(),
    "arrival_ns": pa.int64(),
    "deadline_ns": pa.int64(),
    "ended_ns": pa.int64(),
    "status": pa.string(),
    "lag_ns": pa.int64(),
}
OPTIONAL: Final = {
    "start_ns": pa.int64(),
    "finish_ns": pa.int64(),
    "subnet": pa.string(),
    "accuracy": pa.float64(),
    "batch_size": pa.int32(),
    "worker": pa.int32(),
    "tenant": pa.string(),
    "model": pa.string(),
    "min_accuracy": pa.float64(),
    "size": pa.int32(),
    "correct": pa.bool_(),
}
HINT: Final = "outcomes are written by `superserve replay` and `superserve serve`"


@dataclass(frozen=True)
class Outcomes:
    """Columns by request, all of one length n, ordered by id.

    Times are ns since the trace's origin and NEVER (-1) where they did not come; `subnet` indexes `subnets` and is -1 where no
    subnet ran; `accuracy` is the profiled accuracy of the subnet that answered, NaN where none did or none is known; `status`
    indexes STATUSES. `extra` holds the optional columns of the schema that this run knows (tenant, model, min_accuracy, size,
    correct), as Arrow arrays.
    """

    id: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    deadline_ns: NDArray[np.int64]
    start_ns: NDArray[np.int64]
    finish_ns: NDArray[np.int64]
    ended_ns: NDArray[np.int64]
    subnets: tuple[str, ...]
    subnet: NDArray[np.int32]
    accuracy: NDArray[np.float64]
    batch_size: NDArray[np.int32]
    worker: NDArray[np.int32]
    status: NDArray[np.int8]
    lag_ns: NDArray[np.int64]
    extra: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.id)


def to_table(outcomes: Outcomes) -> pa.Table:
    """The file's columns: NEVER and NaN become null, indices become names."""
    names = pa.DictionaryArray.from_arrays(pa.array(outcomes.subnet, mask=outcomes.subnet < 0), pa.array(outcomes.subnets, pa.string()))
    columns: dict[str, pa.Array] = {
        "id": pa.array(outcomes.id),
        "arrival_ns": pa.array(outcomes.arrival_ns),
        "deadline_ns": pa.array(outcomes.deadline_ns),
        "start_ns": pa.array(outcomes.start_ns, mask=outcomes.start_ns < 0),
        "finish_ns": pa.array(outcomes.finish_ns, mask=outcomes.finish_ns < 0),
        "ended_ns": pa.array(outcomes.ended_ns),
        "subnet": names,
        "accuracy": pa.array(outcomes.accuracy, mask=np.isnan(outcomes.accuracy)),
        "batch_size": pa.array(outcomes.batch_size, mask=outcomes.batch_size < 0),
        "worker": pa.array(outcomes.worker, mask=outcomes.worker < 0),
        "status": pa.DictionaryArray.from_arrays(pa.array(outcomes.status), pa.array(STATUSES)),
        "lag_ns": pa.array(outcomes.lag_ns),
        **outcomes.extra,
    }
    return pa.table(columns)


def write(path: Path, outcomes: Outcomes, manifest: Mapping[str, Any]) -> None:
    """`outcomes.parquet` with the run's manifest in its metadata."""
    write_table(path, to_table(outcomes), SCHEMA, manifest)


def read(path: Path) -> tuple[Outcomes, dict[str, Any]]:
    """The outcomes of a file in the order of their ids, and the run's manifest; raises BadFile."""
    table, manifest = read_table(path, SCHEMA, REQUIRED, OPTIONAL, HINT)
    table = table.sort_by("id")
    status = pc.index_in(table["status"], pa.array(STATUSES))
    if status.null_count:
        raise BadFile(f"{path}: a status is none of {', '.join(STATUSES)}", hint=HINT)
    ids = _numbers(table["id"], NEVER)
    if len(twice := ids[1:][np.diff(ids) == 0]):
        raise BadFile(f"{path}: request {twice[0]} has several outcomes", hint=HINT)
    encoded = table["subnet"].combine_chunks().dictionary_encode()
    return Outcomes(
        id=ids,
        arrival_ns=_numbers(table["arrival_ns"], NEVER),
        deadline_ns=_numbers(table["deadline_ns"], NEVER),
        start_ns=_numbers(table["start_ns"], NEVER),
        finish_ns=_numbers(table["finish_ns"], NEVER),
        ended_ns=_numbers(table["ended_ns"], NEVER),
        subnets=tuple(encoded.dictionary.to_pylist()),
        subnet=_numbers(encoded.indices, -1),
        accuracy=_numbers(table["accuracy"], np.nan),
        batch_size=_numbers(table["batch_size"], -1),
        worker=_numbers(table["worker"], -1),
        status=status.to_numpy().astype(np.int8),
        lag_ns=_numbers(table["lag_ns"], NEVER),
        extra={
            name: table[name].combine_chunks()
            for name in ("tenant", "model", "min_accuracy", "size", "correct")
            if table[name].null_count < len(table)
        },
    ), manifest


def _numbers(column: pa.Array | pa.ChunkedArray, missing: float) -> NDArray[Any]:
    filled: NDArray[Any] = column.fill_null(missing).to_numpy()
    return filled
