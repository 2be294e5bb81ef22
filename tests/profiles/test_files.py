import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superserve_cli import profiles
from superserve_cli.errors import BadFile, Unknown
from superserve_cli.profiles.plot import write_plot

COLUMNS = {"subnet": ["b", "a", "a", "b"], "batch_size": [1, 1, 4, 4], "plan_ns": [20, 10, 30, 50], "accuracy": [0.8, 0.7, 0.7, 0.8]}
LEVELS = ("p05_ns", "p25_ns", "p50_ns", "p75_ns", "p95_ns", "p99_ns")
QUANTILES = {name: [level, level, 2 * level, 2 * level] for level, name in enumerate(LEVELS, 5)}


def parquet(tmp_path: Path, schema: object = "profile/1", **columns: object) -> Path:
    path = tmp_path / "mine.parquet"
    table = pa.table({**COLUMNS, **columns})
    pq.write_table(table.replace_schema_metadata({"superserve": json.dumps({"schema": schema, "device": "abacus"})}), path)
    return path


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    return path


def test_subnets_are_ordered_by_latency_and_batch_sizes_ascend(tmp_path: Path) -> None:
    loaded = profiles.load(parquet(tmp_path))
    assert loaded.subnets == ("a", "b")
    assert loaded.batch_sizes == (1, 4)
    assert loaded.plan == ((10, 30), (20, 50))
    assert loaded.accuracies == (0.7, 0.8)
    assert loaded.quantiles_ns is None
    assert loaded.metadata["device"] == "abacus"
    assert loaded.metadata["name"] == str(tmp_path / "mine.parquet")


def test_quantiles_are_read_where_all_of_them_are_there(tmp_path: Path) -> None:
    whole = profiles.load(parquet(tmp_path, **QUANTILES))
    assert whole.quantiles_ns is not None
    assert whole.quantiles_ns.tolist() == [[[5, 6, 7, 8, 9, 10], [10, 12, 14, 16, 18, 20]]] * 2
    assert profiles.load(parquet(tmp_path, p50_ns=[1, 2, 3, 4])).quantiles_ns is None
    assert profiles.load(parquet(tmp_path, **{**QUANTILES, "p99_ns": [1, None, 3, 4]})).quantiles_ns is None


def test_other_integers_and_dictionary_strings_are_cast_and_an_unknown_accuracy_is_none(tmp_path: Path) -> None:
    subnet = pa.array(COLUMNS["subnet"], pa.large_string()).dictionary_encode()
    loaded = profiles.load(
        parquet(tmp_path, subnet=subnet, plan_ns=pa.array([20, 10, 30, 50], pa.uint32()), accuracy=[None, 0.7, 0.7, None])
    )
    assert loaded.accuracies == (0.7, None)


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    table = pa.table({**COLUMNS, **QUANTILES})
    saved = profiles.save(tmp_path / "p.parquet", table, {"supernet": "mine"})
    loaded = profiles.load(tmp_path / "p.parquet")
    assert loaded.plan == saved.plan
    assert loaded.metadata["supernet"] == "mine"
    assert loaded.metadata["hash"] == saved.metadata["hash"]
    assert loaded.metadata["hash"] != profiles.save(tmp_path / "q.parquet", pa.table(COLUMNS), {}).metadata["hash"]


def test_a_file_that_does_not_say_its_hash_has_one_all_the_same(tmp_path: Path) -> None:
    first = profiles.load(parquet(tmp_path)).metadata["hash"]
    assert first != profiles.load(parquet(tmp_path, plan_ns=[20, 10, 30, 51])).metadata["hash"]
    assert first == profiles.load(parquet(tmp_path)).metadata["hash"]


def test_a_table_that_is_no_profile_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        profiles.save(tmp_path / "p.parquet", pa.table({**COLUMNS, "plan_ns": [0, 1, 2, 3]}), {})
    assert not list(tmp_path.iterdir())


def test_a_csv_is_a_profile_too(tmp_path: Path) -> None:
    loaded = profiles.load(csv(tmp_path, "subnet,batch_size,latency_ms,accuracy\nbig,1,2.5,0.8\nsmall,1,1.0000004,\n"))
    assert loaded.subnets == ("small", "big")
    assert loaded.plan == ((1_000_000,), (2_500_000,))
    assert loaded.accuracies == (None, 0.8)
    assert loaded.metadata["hash"]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"plan_ns": [20, 0, 30, 50]}, "subnet 'a', batch size 1: the latency is 0 ns"),
        ({"plan_ns": [20, 2**60, 30, 50]}, "less than 100 days"),
        ({"plan_ns": [20, -10, 30, 50]}, "the latency is -10 ns"),
        ({"plan_ns": [20, None, 30, 50]}, "plan_ns has 1 empty values"),
        ({"plan_ns": [20.5, 1, 30, 50]}, "plan_ns is double, not int64"),
        ({"plan_ns": [float("nan"), 1, 30, 50]}, "plan_ns is double, not int64"),
        ({"accuracy": [0.8, 1.7, 0.7, 0.8]}, "the accuracy is 1.7"),
        ({"accuracy": [0.8, -0.1, -0.1, 0.8]}, "the accuracy is -0.1"),
        ({"accuracy": [0.8, float("nan"), 0.7, 0.8]}, "the accuracy is nan"),
        ({"accuracy": [0.8, 0.6, 0.7, 0.8]}, "subnet a has several accuracies"),
        ({"batch_size": [1, 1, 4, 8]}, "subnet a lacks batch size 8"),
        ({"batch_size": [1, 1, 0, 0]}, "a batch size from 1 to 16384"),
        ({"subnet": ["b", "a", "a", ""]}, "a row needs a subnet"),
        ({"subnet": ["a", "a", "a", "a"]}, "subnet a, batch size 1 stands there 2 times"),
        ({"schema": "profile/2"}, "holds profile/2, not profile/1"),
        ({"schema": "trace/1"}, "holds trace/1, not profile/1"),
        ({**QUANTILES, "p99_ns": [1, 1, 1, 1]}, "must not decrease"),
        ({**QUANTILES, "p05_ns": [0, 1, 1, 1]}, "must be positive"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path, columns: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint) as refused:
        profiles.load(parquet(tmp_path, **columns))
    assert refused.value.hint


def test_a_profile_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="has no rows"):
        profiles.save(tmp_path / "p.parquet", pa.table(COLUMNS).slice(0, 0), {})
    path = tmp_path / "few.parquet"
    few = pa.table({"subnet": ["a"]}).replace_schema_metadata({"superserve": '{"schema": "profile/1"}'})
    pq.write_table(few, path)
    with pytest.raises(BadFile, match="lacks the columns batch_size, plan_ns"):
        profiles.load(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a profile"),
        ("subnet,batch_size,latency_ms\n", "is not a profile"),
        ("subnet,latency_ms\na,1\n", "is not a profile"),
        ("subnet,batch_size,latency_ms\na,1,nan\n", "line 2: latency_ms is nan"),
        ("subnet,batch_size,latency_ms\na,1,1\nb,1,inf\n", "line 3: latency_ms is inf"),
        ("subnet,batch_size,latency_ms\na,1,-3\n", "latency is -3000000 ns"),
        ("subnet,batch_size,latency_ms\na,one,3\n", "line 2: .*'one'"),
        ("subnet,batch_size,latency_ms\na,1\n", "line 2: it has not as many fields"),
        ("subnet,batch_size,latency_ms,accuracy\na,1,1,78\n", "the accuracy is 78.0"),
        ("subnet,batch_size,latency_ms,accuracy\na,1,1,nan\n", "the accuracy is nan"),
        ("subnet,batch_size,latency_ms\na,1,1e300\n", "line 2: latency_ms is 1e300"),
        ("subnet,batch_size,latency_ms\na,99999999999,1\n", "line 2: batch_size is 99999999999"),
        ("subnet,batch_size,latency_ms\na,16385,1\n", "line 2: batch_size is 16385"),
    ],
)
def test_a_csv_that_makes_no_sense_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint) as refused:
        profiles.load(csv(tmp_path, text))
    assert refused.value.hint


def test_an_empty_name_is_not_the_default_profile() -> None:
    with pytest.raises(BadFile, match="is a folder"):
        profiles.load("")


def test_text_as_parquet_bytes_as_csv_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("subnet")
    (tmp_path / "noise.csv").write_bytes(b"\xff\xfe\x00")
    for name, complaint in (("text.parquet", "not a readable Parquet"), ("noise.csv", "not a readable CSV")):
        with pytest.raises(BadFile, match=complaint):
            profiles.load(tmp_path / name)
    for name in ("none.parquet", "none.csv"):
        with pytest.raises(BadFile, match="there is no"):
            profiles.load(tmp_path / name)


def test_a_name_that_does_not_ship_is_refused() -> None:
    with pytest.raises(Unknown, match="'abacus'"):
        profiles.load("abacus")


@pytest.mark.parametrize("suffix", [".svg", ".html", ".png"])
def test_the_picture_of_a_profile_names_the_ends_of_its_front(tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"p{suffix}"
    write_plot(picture, profiles.load(parquet(tmp_path)))
    drawn = picture.read_bytes()
    assert len(drawn) > 2000
    if suffix == ".svg":
        write_plot(tmp_path / "again.svg", profiles.load(parquet(tmp_path)))
        assert (tmp_path / "again.svg").read_bytes() == drawn
        assert b"batch size 4" in drawn


def test_one_batch_size_and_unknown_accuracies_can_be_drawn_too(tmp_path: Path) -> None:
    one = profiles.load(csv(tmp_path, "subnet,batch_size,latency_ms\na,1,2\n"))
    write_plot(tmp_path / "p.svg", one)
    assert np.array(one.plan).shape == (1, 1)
