import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.search import front as fronts
from superserve_cli.search.front import Points, best, evolve, find, hypervolume, thinned
from superserve_cli.search.genes import Codes, Genes
from superserve_cli.supernet import Dimension, Gate, Space

SPACE = Space(
    (
        Dimension("d", "depth", (1, 2, 3), 2),
        Dimension(
            "e",
            "expand",
            (0.2, 0.25, 0.35),
            6,
            "012",
            tuple(Gate("depth", stage, i + 1) if i else None for stage in range(2) for i in range(3)),
        ),
    )
)
GENES = Genes(SPACE)
DRAW = np.random.default_rng(3)
COST, WORTH = DRAW.uniform(0.5, 2, len(GENES.counts)), DRAW.uniform(0, 1, len(GENES.counts))


def judge(codes: Codes) -> Points:
    values = np.where(GENES.used(codes), codes + 1.0, 0.0)
    return Points(codes, 1 + values @ COST, np.log1p(values @ WORTH))


def ids(points: Points) -> list[str]:
    return GENES.decode(points.codes)


def brute(points: Points) -> set[str]:
    rows = list(zip(points.latency, points.accuracy, ids(points), strict=True))
    return {
        subnet
        for latency, accuracy, subnet in rows
        if not any(a >= accuracy and ms <= latency and (a > accuracy or ms < latency) for ms, a, _ in rows)
    }


def test_a_small_space_is_looked_at_whole() -> None:
    found = find(GENES, judge, size=20)
    assert found.whole
    assert found.judged == SPACE.size
    assert set(ids(found.points)) == brute(judge(GENES.all()))


def test_evolution_finds_the_front_that_brute_force_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "POPULATION", 60)  # less than a twentieth of the space in a generation
    found = evolve(GENES, judge)
    assert not found.whole
    assert set(ids(found.points)) == brute(judge(GENES.all()))


@pytest.mark.parametrize("seed", range(3))
def test_the_hypervolume_never_shrinks_and_the_seed_decides(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "POPULATION", 10)
    found = evolve(GENES, judge, seed=seed, generations=15)
    assert len(found.hypervolumes) > 5
    assert all(np.diff(found.hypervolumes) >= 0)
    again = evolve(GENES, judge, seed=seed, generations=15)
    assert (ids(again.points), again.hypervolumes) == (ids(found.points), found.hypervolumes)


def test_when_the_time_is_up_there_is_a_front_and_it_says_so() -> None:
    seconds = iter(range(100))
    found = evolve(GENES, judge, seconds=3, clock=lambda: next(seconds))
    assert found.timed_out
    assert len(found.hypervolumes) == 5
    assert len(found.points.latency)


def test_a_front_that_is_short_is_filled_up_with_what_is_just_behind_it() -> None:
    found = evolve(GENES, judge, size=500)
    kept = found.points.and_(found.near)
    assert len(set(ids(kept))) == len(kept.latency) == 500
    assert not set(ids(found.near)) & set(ids(found.points))
    every = judge(GENES.all())
    second = best(every.at(np.array([i for i, subnet in enumerate(ids(every)) if subnet not in ids(found.points)])))
    assert set(ids(second)) <= set(ids(found.near))


points = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=30).map(
    lambda pairs: Points(np.arange(len(pairs), dtype=np.int16)[:, None], *np.array(pairs, float).T)
)


@given(points=points)
def test_the_best_rise_in_both_and_nothing_beats_them(points: Points) -> None:
    found = best(points)
    assert all(np.diff(found.latency) > 0)
    assert all(np.diff(found.accuracy) > 0)
    for latency, accuracy in zip(points.latency, points.accuracy, strict=True):
        assert ((found.latency <= latency) & (found.accuracy >= accuracy)).any()


@given(points=points)
def test_the_hypervolume_is_the_area_that_is_dominated(points: Points) -> None:
    grid = [(ms, a) for ms in range(1, 10) for a in range(10) if ((points.latency <= ms) & (points.accuracy > a)).any() and ms < 10]
    assert hypervolume(best(points), slowest=10, worst=0) == pytest.approx(len(grid))


@given(points=points, size=st.integers(2, 12))
def test_a_thinned_front_has_its_ends_and_no_more_than_was_asked_for(points: Points, size: int) -> None:
    front = best(points)
    found = thinned(front, size)
    assert len(found.latency) == min(size, len(front.latency))
    assert {front.latency[0], front.latency[-1]} <= set(found.latency) or len(found.latency) < 2
    assert all(np.diff(found.latency) > 0)
