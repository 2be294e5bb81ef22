import numpy as np
import pytest

from superserve_cli.profiles import accuracies, disagreement, measure
from superserve_cli.profiles.measure import ROWS_PER_BATCH, Disagreement, Samples, round_order

SUBNETS, SIZES = ("s0", "s1", "s2"), (1, 4)
INPUTS = np.zeros((4, 2))


def test_every_cell_is_sampled_once_in_every_round(worker) -> None:  # type: ignore[no-untyped-def]
    samples = measure(worker, SUBNETS, SIZES, INPUTS, 5, clock_ns=worker.clock_ns)
    assert samples.dtype == np.int64
    assert samples.tolist() == [[[1100, 1400], [2200, 2800], [3300, 4200]]] * 5
    rounds = [worker.ran[i : i + 6] for i in range(0, 30, 6)]
    assert all(sorted(r) == sorted((s, b) for s in SUBNETS for b in SIZES) for r in rounds)


def test_the_order_differs_from_round_to_round_and_depends_on_the_seed_alone(worker) -> None:  # type: ignore[no-untyped-def]
    orders = [tuple(round_order(seed=3, number=number, cells=30)) for number in range(8)]
    assert len(set(orders)) == 8
    assert orders == [tuple(round_order(seed=3, number=number, cells=30)) for number in range(8)]
    assert round_order(4, 0, 30) != list(orders[0])


def test_the_worker_is_warmed_up_before_anything_is_timed(worker) -> None:  # type: ignore[no-untyped-def]
    measure(worker, SUBNETS, SIZES, INPUTS, 1, clock_ns=worker.clock_ns)
    assert worker.warmed == (SUBNETS, SIZES)


def test_a_machine_that_slows_down_slows_all_cells_alike(worker) -> None:  # type: ignore[no-untyped-def]
    worker.latency_ns = lambda subnet, rows: 1_000_000 + worker.now_ns // 10
    medians = np.median(measure(worker, SUBNETS, SIZES, INPUTS, 40, clock_ns=worker.clock_ns), axis=0)
    # one cell after another, the last would look over 10 ** 6 times slower than the first
    assert medians.max() / medians.min() < 2


def test_an_interrupted_measurement_goes_on_as_if_nothing_had_happened(worker) -> None:  # type: ignore[no-untyped-def]
    kept: list[Samples] = []
    measure(worker, SUBNETS, SIZES, INPUTS, 2, seed=1, keep=kept.append, clock_ns=worker.clock_ns)
    samples = measure(worker, SUBNETS, SIZES, INPUTS, 5, seed=1, earlier=kept[-1], clock_ns=worker.clock_ns)
    resumed = worker.ran.copy()
    worker.ran.clear()
    assert [len(k) for k in kept] == [1, 2]
    assert samples.shape == (5, 3, 2)
    measure(worker, SUBNETS, SIZES, INPUTS, 5, seed=1, clock_ns=worker.clock_ns)
    assert worker.ran == resumed


def test_rounds_that_are_already_there_are_not_measured_again(worker) -> None:  # type: ignore[no-untyped-def]
    earlier = np.ones((6, 3, 2), np.int64)
    assert measure(worker, SUBNETS, SIZES, INPUTS, 4, earlier=earlier, clock_ns=worker.clock_ns).tolist() == earlier[:4].tolist()
    assert not worker.ran


def test_progress_counts_cells_up_to_the_end(worker) -> None:  # type: ignore[no-untyped-def]
    told: list[tuple[int, int]] = []
    earlier = np.ones((1, 3, 2), np.int64)
    measure(worker, SUBNETS, SIZES, INPUTS, 3, earlier=earlier, progress=lambda done, total, note: told.append((done, total)))
    assert told == [(done, 18) for done in range(6, 19)]  # the first while it warms up


def test_accuracy_is_the_share_of_right_answers_over_all_batches(worker) -> None:  # type: ignore[no-untyped-def]
    y = np.arange(2 * ROWS_PER_BATCH + 10) % 4
    x = np.stack([y, y], axis=1)
    assert accuracies(worker, SUBNETS, x, y) == pytest.approx([1, 1, np.mean(y != 1)])


def test_halves_that_agree_and_halves_that_do_not() -> None:
    steady = np.full((6, 2, 2), 100)
    assert disagreement(steady) == Disagreement(0, 0)
    assert disagreement(steady[:1]) is None
    swinging = steady.copy()
    swinging[1::2, 0, 0] = 120
    found = disagreement(swinging)
    assert found is not None
    assert found.median == 0
    assert found.p90 == pytest.approx(np.quantile([0, 0, 0, 20 / 110], 0.9))
    assert not found.good
    assert Disagreement(0.01, 0.05).good
