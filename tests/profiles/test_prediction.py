from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.profiles.prediction import compare

SUBNETS = ("a", "b", "c")
SAMPLES = np.array([[[1, 10], [2, 20], [4, 40]]] * 3) * 1_000_000


def predicted(batch_size: int = 1, **latencies_ms: float) -> dict[str, Any]:
    return {"batch_size": batch_size, "subnets": {s: {"accuracy": 0.5, "latency_ms": ms} for s, ms in latencies_ms.items()}}


@given(factor=st.floats(0.01, 100), size=st.sampled_from([1, 8]))
def test_one_factor_for_all_is_no_error(factor: float, size: int) -> None:
    found = compare(predicted(size, a=factor, b=2 * factor, c=4 * factor), SUBNETS, (1, 8), SAMPLES, None)
    assert found is not None
    assert found[:2] == (size, 3)
    assert found.scale == pytest.approx((1 if size == 1 else 10) / factor)
    assert (found.latency_median, found.latency_p90) == pytest.approx((0, 0), abs=1e-9)
    assert found.accuracy is None


def test_errors_are_relative_to_what_was_measured() -> None:
    found = compare(predicted(a=1, b=2, c=5), SUBNETS, (1, 8), SAMPLES, [0.5, 0.75, 0.4])
    assert found is not None
    assert (found.scale, found.latency_median) == (1, 0)
    assert found.latency_p90 == pytest.approx(np.quantile([0, 0, 0.25], 0.9))
    assert found.accuracy == pytest.approx((0.25 + 0.1) / 3)


def test_only_what_was_both_foretold_and_measured_is_compared() -> None:
    found = compare(predicted(b=2, z=9), SUBNETS, (1, 8), SAMPLES, [0.1, 0.6, 0.1])
    assert found is not None
    assert found.cells == 1
    assert found.accuracy == pytest.approx(0.1)


@pytest.mark.parametrize(
    "said",
    [
        {},
        predicted(4, a=1),
        predicted(z=1),
        predicted(),
        predicted(a=0),
        {"batch_size": 1, "subnets": {"a": {"accuracy": 1}}},
        {"subnets": None},
    ],
)
def test_a_search_that_foretold_nothing_of_it_cannot_be_compared(said: dict[str, Any]) -> None:
    assert compare(said, SUBNETS, (1, 8), SAMPLES, None) is None
