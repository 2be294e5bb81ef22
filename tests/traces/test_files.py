import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superserve_cli import traces
from superserve_cli.errors import BadFile
from superserve_cli.traces import Trace


def csv(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    return f"file:{path}"


def parquet(tmp_path: Path, schema: str = "trace/1", **columns: object) -> str:
    path = tmp_path / "mine.parquet"
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    pq.write_table(table.replace_schema_metadata({"superserve": json.dumps({"schema": schema})}), path)
    return f"file:{path}"


def test_a_csv_may_say_seconds_and_milliseconds_and_leave_fields_empty(tmp_path: Path) -> None:
    trace = traces.load(csv(tmp_path, "arrival_s,slo_ms,tenant,min_accuracy,size\n0.5,36,a,0.7,2\n1,,b,,\n1.25,0.0005,,,1\n"))
    assert trace.arrival_ns.tolist() == [500_000_000, 1_000_000_000, 1_250_000_000]
    assert trace.slo_ns is not None
    assert trace.slo_ns.tolist() == [36_000_000, 0, 500]
    assert trace.deadlines_ns(7).tolist() == [536_000_000, 1_000_000_007, 1_250_000_500]
    assert trace.tenant is not None
    assert trace.tenant.to_pylist() == ["a", "b", None]
    assert trace.min_accuracy is not None
    assert trace.min_accuracy.tolist() == [0.7, 0, 0]
    assert trace.size is not None
    assert trace.size.tolist() == [2, 1, 1]


def test_seconds_are_rounded_to_the_nearest_nanosecond(tmp_path: Path) -> None:
    trace = traces.load(csv(tmp_path, "arrival_s\n0.0000000004\n0.0000000006\n1e-3\n"))
    assert trace.arrival_ns.tolist() == [0, 1, 1_000_000]


def test_arrivals_in_nanoseconds_and_other_columns_are_taken_as_they_are(tmp_path: Path) -> None:
    trace = traces.load(csv(tmp_path, "note,arrival_ns,slo_ns\nhello,9007199254740993,5\n"))
    assert trace.arrival_ns.tolist() == [2**53 + 1]
    assert trace.deadlines_ns(1).tolist() == [2**53 + 6]
    assert trace.duration_ns == 2**53 + 2


def test_a_gzipped_csv_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv.gz"
    path.write_bytes(gzip.compress(b"arrival_s\n1\n2\n"))
    assert len(traces.load(f"file:{path}")) == 2


OPTIONAL_COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        "slo_ns": st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
        "min_accuracy": st.lists(st.floats(0, 1), min_size=3, max_size=3),
        "size": st.lists(st.integers(1, 2**31 - 1), min_size=3, max_size=3),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(0, 10**15), min_size=3, max_size=3), asked=OPTIONAL_COLUMNS)
def test_what_is_saved_is_loaded_again_with_the_same_hash(tmp_path: Path, gaps: list[int], asked: dict[str, list[float]]) -> None:
    kinds = {"slo_ns": np.int64, "min_accuracy": np.float64, "size": np.int32}
    columns = {name: np.array(values, dtype=kinds[name]) for name, values in asked.items()}
    trace = Trace(arrival_ns=np.cumsum(gaps), tenant=pa.array(["a", None, "b"]), **columns)  # type: ignore[arg-type]
    traces.save(tmp_path / "t.parquet", trace)
    again = traces.load(f"file:{tmp_path / 't.parquet'}")
    assert again.arrival_ns.tolist() == trace.arrival_ns.tolist()
    assert again.deadlines_ns(5).tolist() == trace.deadlines_ns(5).tolist()
    assert again.tenant is not None
    assert again.tenant.to_pylist() == ["a", None, "b"]
    assert traces.content_hash(again) == traces.content_hash(trace)


def test_equal_requests_have_equal_hashes_whatever_the_file(tmp_path: Path) -> None:
    of_csv = traces.load(csv(tmp_path, "arrival_s,slo_ms,tenant\n1,36,a\n2,,b\n"))
    of_parquet = traces.load(parquet(tmp_path, tenant=["a", "b"], slo_ns=[36_000_000, None], arrival_ns=[10**9, 2 * 10**9], x=[1, 2]))
    assert traces.content_hash(of_csv) == traces.content_hash(of_parquet)
    assert traces.content_hash(of_csv) != traces.content_hash(of_csv.with_slo(1))


def test_a_saved_trace_keeps_its_provenance(tmp_path: Path) -> None:
    made = traces.load("bursty:4", qps=100, duration_s=2, seed=7)
    traces.save(tmp_path / "t.parquet", made)
    again = traces.load(f"file:{tmp_path / 't.parquet'}")
    assert dict(again.metadata) == dict(made.metadata) == {
        "synthetic": True, "seed": 7, "qps": 100, "duration_s": 2.0, "cv2": 4.0, "base_share": 1500 / 7050
    }  # fmt: skip
    assert again.duration_ns == made.duration_ns == 2 * 10**9
    stored = json.loads(pq.read_metadata(tmp_path / "t.parquet").metadata[b"superserve"])
    assert stored["schema"] == "trace/1"
    assert stored["source"] == "bursty:4"
    assert stored["hash"] == traces.content_hash(made)


@pytest.mark.parametrize("duration", ["long", -1, float("nan"), float("inf"), 1e300])
def test_provenance_that_makes_no_sense_is_not_believed(tmp_path: Path, duration: object) -> None:
    path = tmp_path / "mine.parquet"
    described = {"superserve": json.dumps({"schema": "trace/1", "duration_s": duration})}
    pq.write_table(pa.table({"arrival_ns": pa.array([4])}).replace_schema_metadata(described), path)
    assert traces.load(f"file:{path}").duration_ns == 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "none of the columns"),
        ("a,b\n1,2\n", "none of the columns"),
        ("tenant\nx\n", "not exactly one column of arrivals"),
        ("arrival_s,arrival_ns\n1,1\n", "not exactly one column of arrivals"),
        ("arrival_s,slo_ms,slo_ns\n1,1,1\n", "at most one of SLOs"),
        ("arrival_s,arrival_s\n1,1\n", "'arrival_s' twice"),
        ("arrival_s\n", "holds no request"),
        ("arrival_s\n2\n1\n", "line 3: arrival_s 1.0 is earlier"),
        ("arrival_ns\n-5\n1\n", "line 2: arrival_ns -5 is negative"),
        ("arrival_ns,x\n1,1\n,1\n", "line 3: arrival_ns None is empty"),
        ("arrival_s,x\n1,1\n,1\n", "line 3: arrival_s None is empty"),
        ("arrival_ns\n1.5\n", "Row #2.*1.5"),
        ("arrival_s\nsoon\n", "Row #2.*soon"),
        ("arrival_s\nnan\n", "line 2: arrival_s nan is not a time"),
        ("arrival_s\n1\ninf\n", "line 3: arrival_s inf is not a time"),
        ("arrival_s\n1e30\n", "line 2: arrival_s 1e.30 is not a time"),
        ("arrival_s\n1700000000\n", "line 2: arrival_s 1700000000.0 is not a time within 36 years"),  # since 1970
        ("arrival_ns\n9223372036854775807\n", "line 2: arrival_ns .* is too far away"),
        ("arrival_ns\n1700000000000000000\n", "line 2: arrival_ns .* is too far away"),  # since 1970
        ("arrival_s,slo_ms\n1,0\n", "line 2: slo_ms 0.0 is no SLO"),
        ("arrival_s,slo_ms\n1,\n2,-3\n", "line 3: slo_ms -3.0 is no SLO"),
        ("arrival_s,slo_ms\n1,nan\n", "line 2: slo_ms nan is not a time"),
        ("arrival_s,min_accuracy\n1,\n2,78\n", "line 3: min_accuracy 78.0 is not in 0..1"),
        ("arrival_s,min_accuracy\n1,nan\n", "line 2: min_accuracy nan is not in 0..1"),
        ("arrival_s,size\n1,\n2,0\n", "line 3: size 0 is no number of rows"),
        ("arrival_s,size\n1\n", "Row #2.*Expected 2 columns"),
    ],
)
def test_a_csv_that_makes_no_sense_is_refused_by_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint) as refused:
        traces.load(csv(tmp_path, text))
    assert refused.value.hint


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"arrival_ns": []}, "holds no request|arrival_ns"),
        ({"tenant": ["a"]}, "lacks the columns arrival_ns"),
        ({"arrival_ns": [1, None]}, "1 empty values"),
        ({"arrival_ns": ["now"]}, "not int64"),
        ({"arrival_ns": [5, 3]}, "row 1: arrival_ns 3 is earlier"),
        ({"arrival_ns": [-1, 3]}, "row 0: arrival_ns -1 is negative"),
        ({"arrival_ns": [1, 3], "slo_ns": [None, 0]}, "row 1: slo_ns 0 is no SLO"),
        ({"arrival_ns": [1], "min_accuracy": [float("nan")]}, "row 0: min_accuracy nan is not in 0..1"),
        ({"arrival_ns": [1], "size": [0]}, "row 0: size 0 is no number of rows"),
        ({"arrival_ns": [1], "schema": "trace/2"}, "holds trace/2, not trace/1"),
        ({"arrival_ns": [1], "schema": "profile/1"}, "holds profile/1, not trace/1"),
    ],
)
def test_a_parquet_file_that_makes_no_sense_is_refused_by_its_row(tmp_path: Path, columns: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint) as refused:
        traces.load(parquet(tmp_path, **columns))  # type: ignore[arg-type]
    assert refused.value.hint


@pytest.mark.parametrize("content", [b"", b"arrival_s\n1\n", b"PAR1 and then nothing"])
def test_text_that_claims_to_be_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(BadFile, match="not a readable Parquet file"):
        traces.load(f"file:{path}")


def test_a_truncated_gzip_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"arrival_s\n1\n2\n")[:-9])
    with pytest.raises(BadFile, match="truncated gzip"):
        traces.load(f"file:{cut}")
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(BadFile, match="there is no"):
            traces.load(f"file:{tmp_path / name}")
