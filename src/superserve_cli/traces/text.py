"""CSV, gzipped or not, with a header, in declared types: what other people's traces come in."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from superserve_cli.errors import BadFile

GZIP_MAGIC = b"\x1f\x8b"


def read_csv(path: Path, types: Mapping[str, pa.DataType], hint: str) -> pa.Table:
    """The columns of a CSV file that `types` names, in those types, empty fields as nulls; raises BadFile."""
    return parse(path, content(path, hint), lambda header: {name: types[name] for name in header if name in types}, hint)


def content(path: Path, hint: str) -> bytes:
    """The bytes of a file, unpacked where it is gzipped."""
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=hint) from None
    except (EOFError, zlib.error) as error:
        raise BadFile(f"{path} is a damaged or truncated gzip file: {error}", hint=hint) from error
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror or error}", hint=hint) from error


def parse(path: Path, text: bytes, wanted: Callable[[list[str]], Mapping[str, pa.DataType]], hint: str) -> pa.Table:
    """The columns that `wanted` picks from the header, in the types that it gives them."""
    types = wanted(header(path, text, hint))
    if not types:
        raise BadFile(f"{path} has none of the columns that it needs", hint=hint)
    try:
        return csv.read_csv(
            io.BytesIO(text),
            # one thread, because only then do complaints name the row
            read_options=csv.ReadOptions(use_threads=False, block_size=1 << 24),
            convert_options=csv.ConvertOptions(
                column_types=dict(types), include_columns=list(types), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowException as error:
        raise BadFile(f"{path}: {str(error).splitlines()[0]}", hint=hint) from error


def header(path: Path, text: bytes, hint: str) -> list[str]:
    """The names of the columns, each of which may stand there once."""
    try:
        first = text[: text.find(b"\n")] if b"\n" in text else text
        names = [name.strip().strip('"') for name in first.decode("utf-8-sig").strip().split(",")]
    except UnicodeDecodeError:
        raise BadFile(f"{path} is not a CSV file", hint=hint) from None
    if twice := _repeated(names):
        raise BadFile(f"{path} has the column {twice!r} twice", hint=hint)
    return names


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
