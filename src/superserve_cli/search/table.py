"""Measured latencies of layers, by their numbers, in a file that the next search can go on with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from superserve_cli.core.files import read_table, write_table
from superserve_cli.errors import BadFile

SCHEMA: Final = "latency/1"
COLUMNS: Final = {"key": pa.string(), "p50_ns": pa.int64(), "samples": pa.int32()}
HINT: Final = "name another file with --latency, or remove this one: it is measured anew"
SAME: Final = ("device", "device_name", "threads", "batch_size", "dtype")
"""What latencies must have in common to stand in one table."""


@dataclass(frozen=True)
class Table:
    """Median latencies of layers in ns and how many samples each has, by key; `measured_on` says device, threads and batch size."""

    measured_on: Mapping[str, Any]
    p50_ns: Mapping[str, int] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.p50_ns)

    def plus(self, p50_ns: Mapping[str, int], samples: int) -> "Table":
        """The same table with more layers."""
        return Table(self.measured_on, {**self.p50_ns, **p50_ns}, {**self.samples, **dict.fromkeys(p50_ns, samples)})


def save(path: Path, table: Table) -> None:
    """Write a table."""
    keys = sorted(table.p50_ns)
    columns = (keys, [table.p50_ns[key] for key in keys], [table.samples[key] for key in keys])
    arrays = {name: pa.array(values, kind) for (name, kind), values in zip(COLUMNS.items(), columns, strict=True)}
    write_table(path, pa.table(arrays), SCHEMA, dict(table.measured_on))


def load(path: Path | None, measured_on: Mapping[str, Any]) -> Table:
    """The table of a file, or an empty one where there is none; raises BadFile for one that was measured on something else."""
    if path is None or not path.exists():
        return Table(measured_on)
    table, metadata = read_table(path, SCHEMA, COLUMNS, {}, HINT)
    if different := [name for name in SAME if metadata.get(name) != measured_on.get(name)]:
        here = ", ".join(f"{name} {metadata.get(name)}, not {measured_on.get(name)}" for name in different)
        raise BadFile(f"{path} was measured with {here}", hint=HINT)
    keys, p50_ns, samples = (table[name].to_pylist() for name in COLUMNS)
    if any(ns <= 0 for ns in p50_ns):
        raise BadFile(f"{path} holds latencies that are not positive", hint=HINT)
    return Table(measured_on, dict(zip(keys, p50_ns, strict=True)), dict(zip(keys, samples, strict=True)))
