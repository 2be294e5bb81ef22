from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from superserve_cli import traces
from superserve_cli.errors import BadOption, SuperserveError, Unknown

GENERATORS = ["azure", "poisson", "bursty", "bursty:2", "time-varying", "time-varying:5000"]


@given(spec=st.sampled_from(GENERATORS), qps=st.floats(20, 3000), seconds=st.floats(0.5, 10), seed=st.integers(0, 2**40))
def test_generated_arrivals_are_sorted_inside_the_duration_and_come_at_the_rate_asked_for(
    spec: str, qps: float, seconds: float, seed: int
) -> None:
    assume(not spec.startswith("time-varying") or qps * seconds > 400)  # gaps of CV^2 8 and no base: few arrivals may be none
    trace = traces.load(spec, qps=qps, duration_s=seconds, seed=seed)
    assert trace.arrival_ns.dtype == np.int64
    assert np.all(np.diff(trace.arrival_ns) >= 0)
    assert trace.arrival_ns[0] >= 0
    assert trace.arrival_ns[-1] < trace.duration_ns == round(seconds * 1e9)
    assert abs(len(trace) - qps * seconds) < 6 * np.sqrt(8 * qps * seconds) + 24
    assert trace.synthetic


@pytest.mark.parametrize("spec", GENERATORS)
def test_a_seed_decides_everything(spec: str) -> None:
    first, again, other = (traces.content_hash(traces.load(spec, qps=500, duration_s=2, seed=seed)) for seed in (4, 4, 5))
    assert first == again != other


def test_what_is_not_asked_for_is_a_minute_of_a_thousand_requests_per_second_from_seed_0() -> None:
    trace = traces.load("poisson")
    assert dict(trace.metadata) == {"synthetic": True, "seed": 0, "qps": 1000.0, "duration_s": 60.0}
    assert trace.source == "poisson"


@pytest.mark.parametrize("spec", ["", "azur", "poisson:3", "file", "file:", "azure:", "bursty:", "time-varying:", "FILE:x", "Poisson"])
def test_an_unknown_trace_is_refused_with_what_exists(spec: str) -> None:
    with pytest.raises(Unknown) as refused:
        traces.load(spec)
    assert refused.value.hint


def test_a_file_without_its_prefix_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("arrival_s\n1\n")
    with pytest.raises(Unknown) as refused:
        traces.load(str(path))
    assert f"file:{path}" in refused.value.hint


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("spec", "given", "complaint"),
    [
        *[("poisson", {"qps": value}, "--mean-qps") for value in (0, -1, NAN, INF)],
        *[("azure", {"duration_s": value}, "--duration") for value in (0, -1, NAN, INF, 1e-10)],
        ("poisson", {"qps": 1e-12, "duration_s": 1e18}, "--duration"),
        ("poisson", {"seed": -1}, "--seed"),
        ("poisson", {"qps": 1e9}, "6e.10 requests, more than"),
        ("poisson", {"qps": 1e-9}, "no request at all"),
        ("bursty", {"qps": 1e-9}, "no request at all"),
        *[("bursty", {"cv2": value}, "CV.2 is") for value in (-1, NAN, INF, 1e6)],
        *[("bursty", {"base_share": value}, "--base-share") for value in (-0.1, 1.1, NAN)],
        ("bursty:x", {}, "'x' in bursty:x is not a number"),
        ("bursty:-1", {}, "CV.2 is -1"),
        ("time-varying:x", {}, "'x' in time-varying:x is not a number"),
        *[(f"time-varying:{value}", {}, "acceleration in time-varying") for value in (0, -250, "nan", "inf")],
        *[("time-varying", {"start_qps": value}, "--start-qps") for value in (0, -1, NAN, INF)],
        *[("time-varying", {"end_qps": value}, "--end-qps") for value in (0, -1, NAN, INF)],
        *[("time-varying", {"qps": value}, "--mean-qps") for value in (0, -1, NAN, INF)],
        ("time-varying", {"qps": 1e9}, "6e.10 requests, more than"),
        ("bursty", {"start_qps": 1.0}, "--start-qps cannot go with"),
        ("time-varying", {"base_share": 0.5}, "--base-share cannot go with"),
        ("bursty:4", {"cv2": 4.0}, "both give"),
        ("poisson", {"cv2": 4.0}, "--cv2 cannot go with"),
        ("azure", {"base_share": 0.5}, "--base-share cannot go with"),
        ("file:x.csv", {"qps": 1.0}, "--mean-qps cannot go with"),
        ("file:x.csv", {"duration_s": 1.0}, "--duration cannot go with"),
        ("file:x.csv", {"seed": 0}, "--seed cannot go with"),
        ("file:x.csv", {"qps": 1.0, "seed": 0}, "--mean-qps and --seed cannot go with"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(spec: str, given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint) as refused:
        traces.load(spec, **given)
    assert refused.value.hint


@pytest.mark.parametrize("slo_ms", [0, -36, NAN, INF, 1e-7, 1e300])
def test_an_slo_must_be_a_positive_time(slo_ms: float) -> None:
    with pytest.raises(SuperserveError, match="--slo-ms"):
        traces.slo_ns(slo_ms)


def test_an_slo_fills_only_what_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("arrival_s,slo_ms\n1,36\n2,\n")
    filled = traces.load(f"file:{path}").with_slo(traces.slo_ns(20))
    assert filled.slo_ns is not None
    assert filled.slo_ns.tolist() == [36_000_000, 20_000_000]
    assert traces.load("poisson", qps=10).with_slo(5).deadlines_ns(1)[0] == traces.load("poisson", qps=10).arrival_ns[0] + 5


def test_a_time_varying_trace_is_the_papers_unless_a_mean_rate_is_asked_for_which_scales_rates_and_not_time() -> None:
    papers = traces.load("time-varying:500", duration_s=20)
    assert {name: papers.metadata[name] for name in ("start", "end", "acceleration")} == {"start": 2500, "end": 7400, "acceleration": 500}
    # 9.8 s from 2500/s to 7400/s, then 10.2 s at 7400/s
    assert papers.metadata["qps"] == pytest.approx((9.8 * 4950 + 10.2 * 7400) / 20)
    scaled = traces.load("time-varying:500", duration_s=20, qps=papers.metadata["qps"] / 10)
    assert scaled.metadata["acceleration"] == pytest.approx(50)
    assert scaled.metadata["end"] == pytest.approx(740)
