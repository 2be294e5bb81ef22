"""Files that are whole or absent, say which schema they hold, and are refused politely when they hold another."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superserve_cli.errors import BadFile, BadOption

KEY = b"superserve"
Columns = Mapping[str, pa.DataType]


class _Enough(Exception):
    """Nothing more is to be written."""


def claim(path: Path, overwrite: bool) -> None:
    """Refuse to write over what is there, before any work is done; raises BadOption."""
    if path.is_dir():
        raise BadOption(f"{path} is a folder", hint="name a file")
    if path.exists() and not path.is_file():
        raise BadOption(f"{path} is a device or a pipe", hint="name a file")
    if path.exists() and not overwrite:
        raise BadOption(f"{path} exists", hint="add --overwrite, or choose another name")
    _try_to_write(path)


def _try_to_write(path: Path) -> None:
    """Find out now, and not after an hour's work, that a file cannot be written here; raises BadFile."""
    with suppress(_Enough), replacing(path) as temporary:
        temporary.touch()
        raise _Enough


def claim_parquet(path: Path, overwrite: bool) -> None:
    """As claim, and refuse a name by which readers would take the table for something else, such as a CSV file or a picture."""
    if path.suffix not in ("", ".parquet"):
        raise BadOption(f"{path} would hold Parquet", hint=f"name it {path.with_suffix('.parquet').name}")
    claim(path, overwrite)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block succeeds, and vanishes when it does not, with the folders made for it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    made: list[Path] = []
    try:
        made = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # the short form: Arrow's own words name the temporary file
        raise BadFile(f"cannot write {path}: {why}", hint="free some space or choose another place") from error
    finally:
        with suppress(OSError):  # a parent of `path` is a file, a name too long: there is nothing to remove
            temporary.unlink(missing_ok=True)
            for folder in [] if path.exists() else made:
                folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """A JSON file, whole or not at all; NaN and infinity are our bug, not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file, or a complaint that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=f"it should be {what}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} is not {what}: {error}", hint="it is damaged or no such file: write it again") from error


def write_table(path: Path, table: pa.Table, schema: str, metadata: Mapping[str, Any]) -> None:
    """A Parquet file (zstd, integers delta-packed) that says which schema it holds."""
    described = table.replace_schema_metadata({KEY: json.dumps({**metadata, "schema": schema}, allow_nan=False).encode()})
    dictionary = [f.name for f in described.schema if pa.types.is_dictionary(f.type) or pa.types.is_string(f.type)]
    packed = {f.name: "DELTA_BINARY_PACKED" for f in described.schema if f.type in (pa.int64(), pa.int32())}
    with replacing(path) as temporary:
        pq.write_table(
            described, temporary, compression="zstd", compression_level=3, use_dictionary=dictionary or False, column_encoding=packed
        )


def read_table(path: Path, schema: str, required: Columns, optional: Columns, hint: str) -> tuple[pa.Table, dict[str, Any]]:
    """The required and optional columns of a Parquet file in their declared types, unknown ones kept, and its metadata.

    Absent optional columns come as nulls. Raises BadFile for what is not Parquet, another schema or version, a missing
    column, a null in a required one, or a type that cannot be cast without loss.
    """
    if path.is_dir():
        raise BadFile(f"{path} is a folder, not a Parquet file", hint=hint)
    try:
        table = pq.read_table(path, partitioning=None)  # a folder named `load=0.9` on the way is not a column
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=hint) from None
    except (pa.ArrowException, OSError) as error:
        raise BadFile(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}", hint=hint) from error
    metadata = _metadata(path, table, hint)
    if metadata["schema"] != schema:
        raise BadFile(f"{path} holds {metadata['schema']}, not {schema}", hint=hint)
    if missing := sorted(required.keys() - set(table.column_names)):
        raise BadFile(f"{path} lacks the columns {', '.join(missing)}", hint=hint)
    for name, kind in {**required, **optional}.items():
        table = _with_type(path, table, name, kind, hint)
    for name in required:
        if table[name].null_count:
            raise BadFile(f"{path}: column {name} has {table[name].null_count} empty values", hint=hint)
    return table, metadata


def _metadata(path: Path, table: pa.Table, hint: str) -> dict[str, Any]:
    try:
        metadata = json.loads((table.schema.metadata or {})[KEY])
        if isinstance(metadata, dict) and isinstance(metadata.get("schema"), str):
            return metadata
    except (KeyError, ValueError):
        pass
    raise BadFile(f"{path} does not say which superserve schema it holds", hint=hint)


def _with_type(path: Path, table: pa.Table, name: str, kind: pa.DataType, hint: str) -> pa.Table:
    if name not in table.column_names:
        return table.append_column(pa.field(name, kind), pa.nulls(len(table), kind))
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return table.set_column(table.column_names.index(name), pa.field(name, kind), column.cast(kind))
    except pa.ArrowException as error:
        raise BadFile(f"{path}: column {name} is {column.type}, not {kind}: {error}", hint=hint) from error


def content_hash(table: pa.Table) -> str:
    """SHA-256 over the contents of the columns that are not all null, whatever their order, chunks or encoding."""
    digest = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table[name].combine_chunks()
        if column.null_count == len(column) and len(column):
            continue
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_large_string(column.type):
            column = column.cast(pa.string())
        digest.update(f"{name}:{column.type}:{len(column)};".encode())
        if column.null_count:
            digest.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(column.type):
            encoded = column.dictionary_encode()
            digest.update(json.dumps(encoded.dictionary.to_pylist()).encode())
            column = encoded.indices
        filled = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
        digest.update(np.ascontiguousarray(filled.to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest()
