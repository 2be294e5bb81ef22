import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.core.files import (
    claim,
    claim_parquet,
    content_hash,
    read_json,
    read_table,
    replacing,
    write_json,
    write_table,
    write_text,
)
from superserve_cli.errors import BadFile, BadOption

REQUIRED = {"n": pa.int64(), "name": pa.string()}
OPTIONAL = {"share": pa.float64()}
WHOLE = pa.table({"n": [1, 2], "name": ["a", "b"], "share": [0.5, None]})
HINT = "write one with a pen"


def read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    return read_table(path, "thing/1", REQUIRED, OPTIONAL, HINT)


def written(path: Path, table: pa.Table, schema: str = "thing/1", **metadata: Any) -> Path:
    write_table(path, table, schema, metadata)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BadFile) as refused:
        read(path)
    assert refused.value.hint == HINT
    return str(refused.value)


def test_a_table_comes_back_with_its_metadata(tmp_path: Path) -> None:
    table, metadata = read(written(tmp_path / "t.parquet", WHOLE, seed=3))
    assert table.equals(WHOLE)
    assert metadata == {"seed": 3, "schema": "thing/1"}


def test_the_schema_of_a_file_wins_over_one_in_its_metadata(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", WHOLE, "thing/1", {"schema": "run/1"})
    assert read(tmp_path / "t.parquet")[1]["schema"] == "thing/1"


def test_absent_optional_columns_are_null_and_unknown_ones_are_kept(tmp_path: Path) -> None:
    table, _ = read(written(tmp_path / "t.parquet", pa.table({"n": [1], "name": ["a"], "mine": ["x"]})))
    assert table["share"].to_pylist() == [None]
    assert table["share"].type == pa.float64()
    assert table["mine"].to_pylist() == ["x"]


@pytest.mark.parametrize(
    "name",
    [pa.array(["a"], pa.large_string()), pa.array(["a"]).dictionary_encode(), pa.array(["a"], pa.large_string()).dictionary_encode()],
    ids=["large", "dictionary", "large dictionary"],
)
@pytest.mark.parametrize("n", [pa.array([7], pa.int8()), pa.array([7], pa.uint64()), pa.array([7.0])], ids=["int8", "uint64", "float"])
def test_columns_are_cast_where_nothing_is_lost(tmp_path: Path, name: pa.Array, n: pa.Array) -> None:
    table, _ = read(written(tmp_path / "t.parquet", pa.table({"n": n, "name": name})))
    assert table.schema.field("n").type == pa.int64()
    assert table.to_pylist() == [{"n": 7, "name": "a", "share": None}]


def test_columns_that_would_lose_something_are_refused(tmp_path: Path) -> None:
    assert "column n is double" in refusal(written(tmp_path / "a", pa.table({"n": [1.5], "name": ["a"]})))
    assert "column n is string" in refusal(written(tmp_path / "b", pa.table({"n": ["one"], "name": ["a"]})))
    assert "column n is uint64" in refusal(written(tmp_path / "c", pa.table({"n": pa.array([2**64 - 1], pa.uint64()), "name": ["a"]})))


def test_missing_and_empty_required_columns_are_named(tmp_path: Path) -> None:
    assert "lacks the columns n, name" in refusal(written(tmp_path / "a", pa.table({"share": [0.5]})))
    assert "column name has 1 empty values" in refusal(written(tmp_path / "b", pa.table({"n": [1, 2], "name": ["a", None]})))


def test_another_schema_or_version_is_refused_by_name(tmp_path: Path) -> None:
    assert "holds thing/2, not thing/1" in refusal(written(tmp_path / "a", WHOLE, "thing/2"))


@pytest.mark.parametrize("metadata", [None, {}, {"superserve": "not json"}, {"superserve": "[1]"}, {"superserve": '{"schema": 1}'}])
def test_parquet_that_does_not_say_what_it_holds_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    pq.write_table(WHOLE.replace_schema_metadata(metadata), tmp_path / "t")
    assert "does not say which superserve schema" in refusal(tmp_path / "t")


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("subnet,batch_size")
    (tmp_path / "empty").write_text("")
    whole = written(tmp_path / "whole", WHOLE).read_bytes()
    (tmp_path / "truncated").write_bytes(whole[: len(whole) // 2])
    for name in ("text", "empty", "truncated"):
        assert "not a readable Parquet file" in refusal(tmp_path / name)
    assert "there is no" in refusal(tmp_path / "absent")
    assert "is a folder" in refusal(tmp_path)


def test_a_folder_on_the_way_does_not_become_a_column(tmp_path: Path) -> None:
    table, _ = read(written(tmp_path / "load=0.9" / "t.parquet", WHOLE))
    assert table.column_names == ["n", "name", "share"]


def fail_halfway(path: Path, error: Exception) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "f.txt"
    write_text(path, "old")
    with pytest.raises(KeyError):
        fail_halfway(path, KeyError("our bug"))
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["f.txt"]


def test_a_disk_that_is_full_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="No space left"):
        fail_halfway(tmp_path / "f", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below", tmp_path / ("n" * 300), tmp_path):
        with pytest.raises(BadFile, match="cannot write") as refused:
            write_text(path, "x")
        assert str(path) in str(refused.value)
    with pytest.raises(BadFile, match="cannot write"):
        write_table(tmp_path / "file" / "below", WHOLE, "thing/1", {})


def test_json_comes_back_and_nan_is_our_bug(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1, None, "é"]})
    assert read_json(tmp_path / "a.json", "a thing") == {"x": [1, None, "é"]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


def test_json_that_is_none_is_refused_and_says_what_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="there is no") as refused:
        read_json(tmp_path / "absent", "a thing")
    assert refused.value.hint == "it should be a thing"
    (tmp_path / "broken").write_bytes(b"{")
    (tmp_path / "latin").write_bytes(b'"\xe9"')
    (tmp_path / "deep").write_text("[" * 100_000)
    for name in ("broken", "latin", "deep"):
        with pytest.raises(BadFile, match="is not a thing") as refused:
            read_json(tmp_path / name, "a thing")
        assert "write it again" in refused.value.hint


def test_a_file_that_exists_is_claimed_only_to_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "f"
    claim(path, overwrite=False)
    path.write_text("")
    claim(path, overwrite=True)
    with pytest.raises(BadOption, match="exists"):
        claim(path, overwrite=False)
    with pytest.raises(BadOption, match="is a folder"):
        claim(tmp_path, overwrite=True)


def test_a_place_that_cannot_be_written_is_refused_when_it_is_claimed_and_leaves_no_trace(tmp_path: Path) -> None:
    claim(tmp_path / "a" / "b" / "c", overwrite=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("here before")
    claim(tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_text() == "here before"
    for place in (tmp_path / "file" / "f", Path("/proc/nowhere/f")):
        with pytest.raises(BadFile, match="cannot write"):
            claim(place, overwrite=False)


def test_a_failed_write_leaves_none_of_the_folders_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(BadFile, match=r"cannot write .*y: No space left on device$"), replacing(tmp_path / "here" / "a" / "b" / "y"):
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")
    assert not list((tmp_path / "here").iterdir())


def test_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadOption, match="is a device or a pipe"):
        claim(pipe, overwrite=True)


@pytest.mark.parametrize("name", ["t.csv", "t.svg", "t.csv.gz"])
def test_parquet_is_not_written_under_a_name_by_which_it_would_be_read_as_something_else(tmp_path: Path, name: str) -> None:
    claim_parquet(tmp_path / "t.parquet", overwrite=False)
    claim_parquet(tmp_path / "t", overwrite=False)
    with pytest.raises(BadOption, match="would hold Parquet"):
        claim_parquet(tmp_path / name, overwrite=True)


COLUMNS = st.tuples(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(-5, 5)), st.one_of(st.none(), st.sampled_from("abc"))), min_size=1, max_size=20),
    st.integers(0, 20),
)


@given(COLUMNS)
def test_a_hash_is_over_contents_whatever_the_order_chunks_or_encoding(drawn: tuple[list[tuple[int | None, str | None]], int]) -> None:
    rows, cut = drawn
    numbers, names = pa.array([r[0] for r in rows], pa.int64()), pa.array([r[1] for r in rows], pa.string())
    plain = pa.table({"n": numbers, "name": names})
    same = [
        pa.table({"name": names, "n": numbers}),
        pa.table({"n": numbers, "name": names.dictionary_encode()}),
        pa.table({"n": numbers, "name": names.cast(pa.large_string())}),
        pa.table({"n": pa.chunked_array([numbers[:cut], numbers[cut:]]), "name": names}),
        plain.append_column("nothing", pa.nulls(len(rows), pa.float64())),
    ]
    assert {content_hash(table) for table in same} == {content_hash(plain)}


@given(st.lists(st.one_of(st.none(), st.integers(-2, 2)), max_size=6), st.lists(st.one_of(st.none(), st.integers(-2, 2)), max_size=6))
def test_other_contents_have_another_hash(one: list[int | None], other: list[int | None]) -> None:
    if any(v is not None for v in one) and any(v is not None for v in other):
        equal = content_hash(pa.table({"n": pa.array(one, pa.int64())})) == content_hash(pa.table({"n": pa.array(other, pa.int64())}))
        assert equal == (one == other)


def test_a_hash_of_text_distinguishes_rows_and_columns() -> None:
    tables = [
        {"a": ["x", "y"]},
        {"a": ["y", "x"]},
        {"b": ["x", "y"]},
        {"a": ["xy", ""]},
        {"a": ["x", None]},
        {"a": [True, False]},
        {"a": [1.0, 0.0]},
    ]
    assert len({content_hash(pa.table(table)) for table in tables}) == len(tables)


def test_a_table_is_packed_well(tmp_path: Path) -> None:
    steps = pa.table({"n": pa.array(np.arange(100_000)), "name": pa.array(["a", "b"] * 50_000)})
    assert written(tmp_path / "t", steps).stat().st_size < 5_000
    assert json.loads(pq.read_schema(tmp_path / "t").metadata[b"superserve"]) == {"schema": "thing/1"}
