import gzip
from pathlib import Path

import numpy as np
import pytest

from superserve_cli import traces
from superserve_cli.errors import BadFile
from superserve_cli.traces import azure, azure_csv

REAL = Path(__file__).parents[3] / "shared" / "traces" / "azure_functions_2019"
HEADER = "HashOwner,HashApp,HashFunction,Trigger"
COMPARED = ("iat_cv", "idc_10ms", "idc_100ms", "idc_1s", "peak_to_mean_1s")


def invocations(tmp_path: Path, text: str, name: str = "d01.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_popularity_is_as_concentrated_as_published() -> None:
    share = np.cumsum(azure.popularity()) / azure.popularity().sum()
    # of the public samples of 100, 250 and 500 functions: top 5 % .92-.96, top 10 % .958-.984
    assert 0.92 < share[4] < 0.97
    assert 0.95 < share[9] < 0.99


def test_the_rates_of_a_working_day_are_positive_and_have_mean_one() -> None:
    rates = azure.minute_rates(np.random.Generator(np.random.PCG64(3)))
    assert rates.shape == (480,)
    assert rates.min() > 0
    assert rates.mean() == pytest.approx(1)


def test_the_first_minute_of_every_five_is_the_busiest() -> None:
    rates = np.mean([azure.minute_rates(np.random.Generator(np.random.PCG64(seed))) for seed in range(40)], axis=0)
    by_minute = rates.reshape(-1, 5).mean(axis=0)
    assert by_minute.argmax() == 1


def test_it_says_that_it_is_synthetic() -> None:
    trace = traces.load("azure", qps=100, duration_s=1)
    assert trace.synthetic
    assert "SYNTHETIC" in trace.metadata["about"]
    assert "SYNTHETIC" in traces.NAMES["azure"]


def test_a_million_requests_come_at_the_rate_asked_for() -> None:
    trace = traces.load("azure", qps=10_000, duration_s=100)
    assert abs(len(trace) - 1_000_000) < 5 * 1000


@pytest.mark.traces
@pytest.mark.skipif(not REAL.is_dir(), reason="the real traces are absent")
def test_its_bursts_are_those_of_the_real_sample_of_a_hundred_functions() -> None:
    sample = REAL / "invocations_sample_100f_min480-959.csv.gz"
    real = traces.statistics(traces.load(f"azure:{sample}", qps=6400, duration_s=120))
    made = [traces.statistics(traces.load("azure", qps=6400, duration_s=120, seed=seed)) for seed in range(20)]
    for name in COMPARED:
        found = [one[name] for one in made]
        assert np.median(found) == pytest.approx(real[name], rel=0.25)
        assert min(found) <= real[name] <= max(found)


@pytest.mark.traces
@pytest.mark.skipif(not REAL.is_dir(), reason="the real traces are absent")
@pytest.mark.parametrize(
    ("name", "minutes", "invocations"),
    [
        ("invocations_sample_100f_min480-959.csv.gz", 480, 339_657),
        ("invocations_sample_500f_min480-959.csv.gz", 480, 3_037_902),
        ("invocations_sample_1000f_min1-60_filtered.csv.gz", 60, 85_470),
    ],
)
def test_the_real_files_are_read_to_the_last_invocation(name: str, minutes: int, invocations: int) -> None:
    counts = azure_csv.minute_counts(REAL / name)
    assert len(counts) == minutes
    assert counts.sum() == invocations


@pytest.mark.traces
@pytest.mark.skipif(not REAL.is_dir(), reason="the real traces are absent")
def test_the_real_sample_compressed_has_the_statistics_in_the_literature_notes() -> None:
    sample = REAL / "invocations_sample_100f_min480-959.csv.gz"
    found = traces.statistics(traces.load(f"azure:{sample}", qps=6400, duration_s=120))
    expected = {"iat_cv": 1.010, "idc_10ms": 1.76, "idc_100ms": 8.5, "idc_1s": 53.5, "peak_to_mean_1s": 1.44}
    assert {name: found[name] for name in COMPARED} == pytest.approx(expected, rel=0.05)


def test_minutes_come_from_the_header_and_functions_are_merged(tmp_path: Path) -> None:
    path = invocations(tmp_path, f"{HEADER},480,481,482\na,b,c,http,1,0,2\na,b,d,timer,0,0,5\n")
    assert azure_csv.minute_counts(path).tolist() == [1, 0, 7]
    trace = traces.load(f"azure:{path}", qps=800, duration_s=3)
    counts = np.bincount(trace.arrival_ns // 10**9, minlength=3)
    assert counts[1] == 0
    assert counts[2] > 5 * counts[0]
    assert not trace.synthetic
    assert trace.metadata["invocations"] == 8


def test_a_file_without_owners_and_one_that_is_gzipped_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv.gz"
    path.write_bytes(gzip.compress(b"HashFunction,Trigger,1,2\n0,http,3,4\n"))
    assert azure_csv.minute_counts(path).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "lacks HashFunction"),
        ("arrival_s\n1\n", "lacks HashFunction"),
        (f"{HEADER}\na,b,c,http\n", "lacks HashFunction"),
        (f"{HEADER},1,2,4\na,b,c,http,1,1,1\n", "not consecutive minutes"),
        (f"{HEADER},1440,1441\na,b,c,http,1,1\n", "not consecutive minutes of one day"),
        (f"{HEADER},1,1\na,b,c,http,1,1\n", "'1' twice"),
        (f"{HEADER},1,2\na,b,c,http,1,1\na,b,d,http,1,-3\n", "line 3: minute 2 has -3 invocations"),
        (f"{HEADER},1,2\na,b,c,http,1,1.5\n", "Row #2.*1.5"),
        (f"{HEADER},1,2\na,b,c,http,1,\n", "minute 2 has 1 empty value"),
        (f"{HEADER},1,2\na,b,c,http,1\n", "Row #2.*Expected 6 columns"),
        (f"{HEADER},1,2\na,b,c,http,0,0\n", "holds no invocation"),
        (f"{HEADER},1,2\n", "holds no invocation"),
    ],
)
def test_what_is_not_an_invocation_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint) as refused:
        traces.load(f"azure:{invocations(tmp_path, text)}")
    assert refused.value.hint


def test_a_truncated_gzip_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(f"{HEADER},1\na,b,c,http,1\n".encode())[:-12])
    noise = tmp_path / "noise.csv"
    noise.write_bytes(b"\x80\xff\x00\n")
    for path, complaint in (
        (cut, "truncated gzip"),
        (noise, "not a CSV file"),
        (tmp_path / "none.csv", "there is no"),
        (tmp_path, "cannot read"),
    ):
        with pytest.raises(BadFile, match=complaint):
            traces.load(f"azure:{path}")
