import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.reports.timeline import timeline
from tests.reports.runs import Req, outcomes


def test_bins_have_a_round_length_and_there_are_about_a_hundred_or_two() -> None:
    run = timeline(outcomes(*(Req(10 * i, 5) for i in range(1200))))
    assert run.bin_s == pytest.approx(0.05)
    assert run.rate_qps == pytest.approx(np.full(240, 100.0))


def test_a_bin_holds_what_arrived_in_it_whenever_it_was_answered() -> None:
    run = timeline(outcomes(Req(0, 40, batch=2), Req(0, 60, batch=4), Req(300, 5, subnet="large"), Req(1000)), most_bins=6)
    assert run.edges_s.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    assert run.rate_qps.tolist() == [10, 5, 0, 0, 0, 5]
    assert run.attainment[[0, 1, 5]].tolist() == [0.5, 1, 0]
    assert run.accuracy[[0, 1]].tolist() == [0.7, 0.8]
    assert run.batch_size[[0, 1]].tolist() == [3, 1]
    assert np.isnan([run.attainment[2], run.accuracy[5], run.batch_size[5]]).all()


def test_a_single_request_makes_a_single_bin() -> None:
    assert len(timeline(outcomes(Req(7, 5))).rate_qps) == 1


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=30), st.integers(5, 240))
def test_no_request_is_lost_and_bins_stay_few(arrivals_ms: list[int], most_bins: int) -> None:
    run = timeline(outcomes(*(Req(at, 5) for at in sorted(arrivals_ms))), most_bins)
    assert 1 <= len(run.rate_qps) <= most_bins
    assert run.rate_qps.sum() * run.bin_s == pytest.approx(len(arrivals_ms))
