"""The file format of the Azure Functions trace of 2019: a row per function, a column per minute (AzurePublicDataset, CC-BY 4.0)."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.errors import BadFile
from superserve_cli.traces.text import content, parse

MINUTES_A_DAY = 1440
HINT = "it should be invocations_per_function_md.anon.dXX.csv of the 2019 trace: HashFunction, Trigger, and a column per minute"


def minute_counts(path: Path) -> NDArray[np.int64]:
    """Invocations of all functions together in each minute (minutes,), the minutes taken from the header; raises BadFile."""
    table = parse(path, content(path, HINT), lambda header: _minutes(path, header), HINT)
    counts = np.array([_sum(path, name, table[name]) for name in table.column_names], dtype=np.int64)
    if not counts.any():
        raise BadFile(f"{path} holds no invocation", hint="take a file with at least one function that is called")
    return counts


def _minutes(path: Path, header: list[str]) -> dict[str, pa.DataType]:
    names = [name for name in header if name.isascii() and name.isdigit()]
    if not {"HashFunction", "Trigger"} <= set(header) or not names:
        raise BadFile(f"{path} is not an Azure Functions invocation file: it lacks HashFunction, Trigger or the minutes", hint=HINT)
    minutes = [int(name) for name in names]
    if minutes[-1] > MINUTES_A_DAY or any(after != before + 1 for before, after in pairwise(minutes)):
        raise BadFile(f"{path}: the minute columns are not consecutive minutes of one day", hint=HINT)
    return dict.fromkeys(names, pa.int64())


def _sum(path: Path, minute: str, column: pa.ChunkedArray) -> int:
    if column.null_count:
        raise BadFile(f"{path}: minute {minute} has {column.null_count} empty values", hint=HINT)
    counts = column.to_numpy()
    if (counts < 0).any():
        row = int(np.argmax(counts < 0))
        raise BadFile(f"{path}, line {row + 2}: minute {minute} has {counts[row]} invocations", hint="counts are 0 or more")
    return int(counts.sum())
