import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from superserve_cli.profiles import plan_ns, rows
from superserve_cli.profiles.measure import Samples

LATENCIES = st.integers(1, 10**9)


@given(samples=arrays(np.int64, st.tuples(st.integers(1, 120), st.just(2), st.just(2)), elements=LATENCIES))
def test_planning_never_uses_less_than_the_median(samples: Samples) -> None:
    planned, _ = plan_ns(samples)
    assert (planned >= np.floor(np.median(samples, axis=0))).all()


def test_with_a_hundred_rounds_each_cell_plans_on_its_own_tail() -> None:
    samples = np.stack([np.arange(1, 102), 10 * np.arange(1, 102)], axis=1)[:, :, None]
    planned, how = plan_ns(samples)
    assert planned.tolist() == [[100], [1000]]
    assert how == "p99"


def test_with_fewer_rounds_all_cells_lend_each_other_a_tail() -> None:
    samples = np.full((10, 20, 1), 1000)
    samples[0, :5] = 3000
    planned, how = plan_ns(samples)
    assert planned.tolist() == [[3000]] * 20
    assert how == "median x 3.000, the p99/median ratio pooled over all cells"


def test_a_cell_that_was_measured_slower_at_a_smaller_batch_is_left_as_it_is() -> None:
    samples = np.array([[[2000, 1000]]] * 10)
    assert plan_ns(samples)[0].tolist() == [[2000, 1000]]


def test_one_row_per_cell_with_quantiles_accuracy_and_cost() -> None:
    samples = np.arange(1, 102)[:, None, None] * np.array([[1, 2], [3, 4]])
    table = rows(samples, ["a", "b"], [1, 8], [0.5, 0.75], [10, 20], [None, 7], "1x16x16")
    assert table["subnet"].to_pylist() == ["a", "a", "b", "b"]
    assert table["batch_size"].to_pylist() == [1, 8, 1, 8]
    assert table["p50_ns"].to_pylist() == [51, 102, 153, 204]
    assert table["p05_ns"].to_pylist() == [6, 12, 18, 24]
    assert table["plan_ns"].to_pylist() == table["p99_ns"].to_pylist() == [100, 200, 300, 400]
    assert table["accuracy"].to_pylist() == [0.5, 0.5, 0.75, 0.75]
    assert table["macs"].to_pylist() == [10, 10, 20, 20]
    assert table["params"].to_pylist() == [None, None, 7, 7]
    assert set(table["samples"].to_pylist()) == {101}
    assert set(table["shape"].to_pylist()) == {"1x16x16"}
    assert set(table["accuracy_kind"].to_pylist()) == {"measured"}


@pytest.mark.parametrize("count", [1, 2, 99, 100, 150])
def test_how_planning_came_about_is_said(count: int) -> None:
    _, how = plan_ns(np.full((count, 1, 1), 7))
    assert how.startswith("p99" if count >= 100 else "median x 1.000")
