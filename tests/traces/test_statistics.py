from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from superserve_cli import traces
from superserve_cli.errors import BadOption
from superserve_cli.traces import Trace
from superserve_cli.traces.plot import write_plot


def at_ms(*arrivals: int, duration_s: float | None = None) -> Trace:
    metadata = {} if duration_s is None else {"duration_s": duration_s}
    return Trace(arrival_ns=np.array(arrivals, dtype=np.int64) * 1_000_000, metadata=metadata)


def test_a_poisson_process_has_index_of_dispersion_one_and_gap_variation_one() -> None:
    found = traces.statistics(traces.load("poisson", qps=5000, duration_s=60))
    assert [found[name] for name in ("iat_cv", "idc_10ms", "idc_100ms")] == pytest.approx([1, 1, 1], rel=0.15)


def test_equal_gaps_have_no_variation() -> None:
    found = traces.statistics(at_ms(*range(0, 3000, 10), duration_s=3))
    assert found["requests"] == 300
    assert found["mean_qps"] == pytest.approx(100)
    assert found["iat_cv"] == found["idc_100ms"] == found["idc_1s"] == 0
    assert found["peak_to_mean_1s"] == 1


def test_counts_by_hand() -> None:
    found = traces.statistics(at_ms(0, 1, 2, 1500, duration_s=2))
    assert found["peak_to_mean_1s"] == 1.5
    assert found["idc_1s"] == pytest.approx(np.var([3, 1]) / 2)


@pytest.mark.parametrize("trace", [at_ms(0), at_ms(3, 3, 3), at_ms(900)])
def test_a_trace_that_is_too_short_has_no_figure_instead_of_a_wrong_one(trace: Trace) -> None:
    found = traces.statistics(trace)
    assert found["idc_1s"] is found["peak_to_mean_1s"] is found["iat_cv"] is None
    assert ("index of dispersion at 1 s", "-") in traces.describe(found)


@pytest.mark.parametrize("suffix", [".svg", ".html", ".png"])
def test_the_picture_is_of_the_kind_that_its_name_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rate{suffix}"
    write_plot(path, traces.load("azure", qps=100, duration_s=2))
    drawn = path.read_bytes()
    assert drawn.startswith({".svg": b"<?xml", ".html": b"<!doctype html>", ".png": b"\x89PNG"}[suffix])
    if suffix == ".svg":
        assert "azure (synthetic)" in "".join(ElementTree.fromstring(drawn).itertext())


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="not a picture"):
        write_plot(tmp_path / "rate.doc", traces.load("poisson", qps=10))
