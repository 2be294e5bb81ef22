import csv
import math
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from superserve_cli.core.files import content_hash, read_table, write_table
from superserve_cli.core.nouns import ms_to_ns
from superserve_cli.errors import BadFile, Unknown
from superserve_cli.profiles.profile import LEVELS, Profile

SCHEMA: Final = "profile/1"
QUANTILES: Final = tuple(f"p{round(level * 100):02d}_ns" for level in LEVELS)
REQUIRED: Final = {"subnet": pa.string(), "batch_size": pa.int32(), "plan_ns": pa.int64(), "accuracy": pa.float64()}
NOT_NULL: Final = {name: kind for name, kind in REQUIRED.items() if name != "accuracy"}
OPTIONAL: Final = {
    "accuracy": pa.float64(),
    **dict.fromkeys(QUANTILES, pa.int64()),
    "busy_ns": pa.int64(),
    "shape": pa.string(),
    "accuracy_kind": pa.string(),
    "samples": pa.int32(),
    "macs": pa.int64(),
    "params": pa.int64(),
}
HINT: Final = "write one with `superserve profile`"
LONGEST_NS: Final = 100 * 86_400 * 10**9
LARGEST_BATCH: Final = 2**14
"""Tables have an entry per row of a batch, and the simulator counts rows in 16 bits."""
DEFAULT: Final = "cpu"
"""The shipped profile that `--profile` falls back to."""


def shipped() -> list[str]:
    """The names of the profiles that come with the package."""
    return sorted(
        entry.name.removesuffix(".parquet") for entry in files(__package__).joinpath("data").iterdir() if entry.name.endswith(".parquet")
    )


def load(source: str | Path | None = None) -> Profile:
    """The profile of a Parquet or CSV file, or a shipped one by name; raises BadFile or Unknown.

    A CSV has the columns subnet, batch_size, latency_ms and optionally accuracy; its latency is what planning uses.
    """
    name = DEFAULT if source is None else str(source)
    path = Path(name)
    if path.suffix == "" and not path.exists():
        if name not in shipped():
            raise Unknown("shipped profile, and no file,", name, shipped())
        path = Path(str(files(__package__).joinpath("data", f"{name}.parquet")))
    table, metadata = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    return _of_table(path, table, {**metadata, "name": name})


def save(path: Path, table: pa.Table, metadata: dict[str, Any]) -> Profile:
    """Write a profile's rows, with a hash over their contents, and return it as it would be read."""
    described = {**metadata, "hash": content_hash(table)}
    profile = _of_table(path, table, described)
    write_table(path, table, SCHEMA, described)
    return profile


def _read_parquet(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    table, metadata = read_table(path, SCHEMA, NOT_NULL, OPTIONAL, HINT)
    return table, {"hash": content_hash(table), **metadata}  # files of others need not say it


def _read_csv(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=HINT) from None
    except (OSError, ValueError, csv.Error) as error:
        raise BadFile(f"{path} is not a readable CSV file: {error}", hint=HINT) from error
    if not rows or not {"subnet", "batch_size", "latency_ms"} <= rows[0].keys():
        raise BadFile(
            f"{path} is not a profile", hint="a CSV profile has a header with subnet, batch_size, latency_ms and accuracy, and rows"
        )
    columns = [_csv_row(path, number, row) for number, row in enumerate(rows, 2)]
    table = pa.Table.from_pylist(columns, schema=pa.schema(list(REQUIRED.items())))
    return table, {"schema": SCHEMA, "source": path.name, "hash": content_hash(table)}


def _csv_row(path: Path, number: int, row: dict[str, str]) -> dict[str, Any]:
    try:
        if None in row or None in row.values():
            raise ValueError("it has not as many fields as the header")
        latency_ms, size = float(row["latency_ms"]), int(row["batch_size"])
        if not (math.isfinite(latency_ms) and ms_to_ns(abs(latency_ms)) <= LONGEST_NS):
            raise ValueError(f"latency_ms is {row['latency_ms']}")
        if size > LARGEST_BATCH:
            raise ValueError(f"batch_size is {size}")
        accuracy = float(row["accuracy"]) if row.get("accuracy") else None
        return {"subnet": row["subnet"], "batch_size": size, "plan_ns": ms_to_ns(latency_ms), "accuracy": accuracy}
    except ValueError as error:
        raise BadFile(
            f"{path}, line {number}: {error}", hint="write subnet, batch_size, latency_ms and accuracy as text and numbers"
        ) from error


def _of_table(path: Path, table: pa.Table, metadata: dict[str, Any]) -> Profile:
    if not len(table):
        raise BadFile(f"{path} has no rows", hint=HINT)
    subnet, size, plan, accuracy = (table[name].to_pylist() for name in REQUIRED)
    _check_values(path, subnet, size, plan, accuracy)
    rows = {(s, b): i for i, (s, b) in enumerate(zip(subnet, size, strict=True))}
    batch_sizes = tuple(sorted(set(size)))
    _check_grid(path, subnet, size, rows, batch_sizes)
    subnets = sorted(set(subnet), key=lambda s: (plan[rows[s, batch_sizes[0]]], s))
    at = np.array([[rows[s, b] for b in batch_sizes] for s in subnets])
    for s in subnets:
        if len({accuracy[rows[s, b]] for b in batch_sizes}) > 1:
            raise BadFile(f"{path}: subnet {s} has several accuracies", hint="a subnet has one accuracy, the same in all of its rows")
    return Profile(
        subnets=tuple(subnets),
        batch_sizes=batch_sizes,
        plan=tuple(tuple(plan[i] for i in row) for row in at.tolist()),
        accuracies=tuple(accuracy[row[0]] for row in at.tolist()),
        quantiles_ns=_quantiles(path, table, at),
        metadata=metadata,
    )


def _check_values(path: Path, subnet: list[str], size: list[int], plan: list[int], accuracy: list[float | None]) -> None:
    for s, b, ns, a in zip(subnet, size, plan, accuracy, strict=True):
        where = f"{path}: subnet {s!r}, batch size {b}"
        if not (s and 1 <= b <= LARGEST_BATCH):
            raise BadFile(f"{where}: a row needs a subnet and a batch size from 1 to {LARGEST_BATCH}", hint=HINT)
        if not 0 < ns <= LONGEST_NS:
            raise BadFile(f"{where}: the latency is {ns} ns; it must be positive, and less than 100 days", hint=HINT)
        if a is not None and not 0 <= a <= 1:
            raise BadFile(f"{where}: the accuracy is {a}; it must lie in 0..1", hint="write 78.2 % as 0.782")


def _check_grid(
    path: Path, subnet: Sequence[str], size: Sequence[int], rows: dict[tuple[str, int], int], batch_sizes: Sequence[int]
) -> None:
    (most, times), *_ = Counter(zip(subnet, size, strict=True)).most_common(1)
    if times > 1:
        raise BadFile(f"{path}: subnet {most[0]}, batch size {most[1]} stands there {times} times", hint=HINT)
    for s in sorted(set(subnet)):
        if missing := [b for b in batch_sizes if (s, b) not in rows]:
            raise BadFile(
                f"{path}: subnet {s} lacks batch size {', '.join(map(str, missing))}", hint="profile every subnet at every batch size"
            )


def _quantiles(path: Path, table: pa.Table, at: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    if any(name not in table.column_names or table[name].null_count for name in QUANTILES):
        return None
    quantiles = np.stack([pc.cast(table[name], pa.int64()).to_numpy() for name in QUANTILES], axis=-1)
    if (quantiles[:, 0] <= 0).any() or (np.diff(quantiles, axis=1) < 0).any():
        raise BadFile(f"{path}: latency quantiles must be positive and must not decrease from p05 to p99", hint=HINT)
    return np.asarray(quantiles[at])
