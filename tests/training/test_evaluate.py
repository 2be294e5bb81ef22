import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.training.evaluate import BATCH, correct, front, spread

POINTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1)


@given(points=POINTS)
def test_no_subnet_of_the_front_is_dominated_and_every_other_one_is(points: dict[str, tuple[int, int]]) -> None:
    macs, accuracy = {s: m for s, (m, _) in points.items()}, {s: float(a) for s, (_, a) in points.items()}
    kept = front(macs, accuracy)
    assert [macs[s] for s in kept] == sorted({macs[s] for s in kept})
    assert [accuracy[s] for s in kept] == sorted({accuracy[s] for s in kept})
    for subnet in points:
        assert any(macs[k] <= macs[subnet] and accuracy[k] >= accuracy[subnet] for k in kept)


def test_the_error_of_a_spread_is_that_of_paired_differences() -> None:
    best, worst = np.array([True] * 90 + [False] * 10), np.array([True] * 80 + [False] * 20)
    measured = spread([worst, best])
    assert measured.accuracy == pytest.approx(0.1)
    assert measured.standard_error == pytest.approx(0.3 / np.sqrt(100))


def test_answers_are_judged_in_order_over_all_batches() -> None:
    y = torch.arange(2 * BATCH + 7) % 3
    x = torch.nn.functional.one_hot(y, 3).float()
    x[5] = x[5].roll(1)
    right = correct(lambda batch: batch, x, y)
    assert right.shape == y.shape
    assert np.flatnonzero(~right).tolist() == [5]
