import numpy as np
import pytest

from superserve_cli.profiles import accuracy

X = np.arange(8, dtype=np.float32)[:, None] % 4
SUBNETS = ("s0", "s1", "s2")


def silent(done: int, total: int, note: str) -> None:
    assert 0 < done <= total
    assert note in SUBNETS


def test_agreement_is_the_share_of_inputs_that_the_reference_puts_into_the_same_class(worker) -> None:  # type: ignore[no-untyped-def]
    judge = accuracy.agreement(X, "s2", "random")
    assert judge.kind == "agreement"
    assert judge.of(worker, SUBNETS, silent) == [0.75, 0.75, 1.0]


def test_of_a_single_output_agreement_is_the_share_of_pairs_in_the_same_order() -> None:
    scores = np.array([[1.0], [2.0], [3.0]], np.float32)
    assert accuracy.alike(scores, 10 * scores) == 1.0
    assert accuracy.alike(scores, -scores) == 0.0
    assert accuracy.alike(scores, scores[[0, 2, 1]]) == pytest.approx(2 / 3)


def test_what_somebody_else_says_runs_nothing(worker) -> None:  # type: ignore[no-untyped-def]
    judge = accuracy.told("declared", {"s0": 0.5, "s1": 0.6, "s2": 0.7}, "the maker")
    assert judge.of(worker, ("s2", "s0"), silent) == [0.7, 0.5]
    assert not worker.ran


def test_measured_accuracies_come_from_labels(worker) -> None:  # type: ignore[no-untyped-def]
    judge = accuracy.measured(X, X[:, 0].astype(np.int64), "numbers")
    assert (judge.kind, judge.about) == ("measured", "numbers")
    assert judge.of(worker, SUBNETS, silent) == [1.0, 1.0, 0.75]
