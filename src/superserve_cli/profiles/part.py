"""The rounds that an interrupted `superserve profile` has measured, kept beside the file that it was to write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from superserve_cli.core.files import read_table, write_table
from superserve_cli.errors import BadFile
from superserve_cli.profiles.measure import Samples

SCHEMA: Final = "profile-part/1"
COLUMNS: Final = {"latency_ns": pa.int64()}


def path_of(out: Path) -> Path:
    """Where the rounds of a profile lie until it is whole."""
    return out.with_name(f".{out.name}.part")


def save(path: Path, what: Mapping[str, Any], samples: Samples) -> None:
    """Keep the rounds, and what was measured: SuperNet, subnets, batch sizes, device, seed."""
    write_table(path, pa.table({"latency_ns": samples.ravel()}), SCHEMA, {"what": dict(what)})


def load(path: Path, what: Mapping[str, Any], cells: tuple[int, int]) -> Samples:
    """The rounds of an earlier run that measured the same; raises BadFile when the file holds anything else."""
    table, metadata = read_table(path, SCHEMA, COLUMNS, {}, "remove it")
    if different := [key for key, value in what.items() if (metadata.get("what") or {}).get(key) != value]:
        raise BadFile(f"{path} was measured with another {' and '.join(different)}", hint="remove it, or go on with what it was made with")
    samples: Samples = np.asarray(table["latency_ns"].to_numpy(), dtype=np.int64)
    if samples.size % (cells[0] * cells[1]) or (samples <= 0).any():
        raise BadFile(f"{path} does not hold whole rounds", hint="remove it")
    return samples.reshape(-1, *cells)
