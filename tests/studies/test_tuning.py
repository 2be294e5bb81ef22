from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli import profiles, traces
from superserve_cli.core.nouns import NS_PER_MS, silent
from superserve_cli.errors import SuperserveError
from superserve_cli.policies import compile, finished, named
from superserve_cli.profiles import Profile
from superserve_cli.studies.tuning import grid
from superserve_cli.studies.tuning.courses import Course, halves
from superserve_cli.studies.tuning.judging import Judge, Score, Setting
from superserve_cli.studies.tuning.moves import Board, deepest, longest_slo_ns
from superserve_cli.studies.tuning.search import SHOWN, TUNED, Search, judges, tune
from superserve_cli.studies.tuning.tuned import told
from superserve_cli.traces import Trace

MS = NS_PER_MS
TINY = Profile(("fast", "good"), (1, 4), ((2 * MS, 4 * MS), (4 * MS, 12 * MS)), (0.6, 0.9))
SETTING = Setting(TINY, 2, 20 * MS, "shed", "fixed", 0.99)
COURSE = Course(["bursty"], loads=[0.6], duration_s=2, seeds=2)


def test_a_search_never_ends_lower_than_it_began() -> None:
    training, _ = judges(SETTING, COURSE)
    search = Search(training, compile(named("max-batch"), TINY, 2), seed=1)
    ranks = [search.score.rank(0.99)]
    for _ in range(40):
        search.step()
        ranks.append(search.score.rank(0.99))
    assert ranks == sorted(ranks)
    assert ranks[-1] > ranks[0]
    assert search.score == training.score(finished(search.table()))


def test_the_same_seed_finds_the_same_table() -> None:
    found = [tune(*judges(SETTING, COURSE), start="price", budget=15, seed=3, progress=silent) for _ in range(2)]
    assert found[0] == found[1]


def test_what_is_written_is_never_worse_on_the_validation_traces_than_its_start() -> None:
    for seed in range(3):
        found = tune(*judges(SETTING, COURSE), start="slackfit", budget=10, seed=seed, progress=silent)
        assert found.validation is not None
        assert found.validation[TUNED].rank(0.99) >= found.validation["slackfit"].rank(0.99)
        assert found.improved == (found.validation[TUNED] != found.validation["slackfit"])


def test_without_a_start_it_begins_with_the_best_of_the_families() -> None:
    training, validation = judges(SETTING, COURSE)
    found = tune(training, validation, start=None, budget=1, seed=0, progress=silent)
    assert training.score(named(found.start)).rank(0.99) >= max(found.training[name].rank(0.99) for name in SHOWN)


def test_an_interrupted_search_keeps_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[None] = []
    step = Search.step

    def interrupted(search: Search) -> None:
        if len(steps) == 5:
            raise KeyboardInterrupt
        step(search)
        steps.append(None)

    monkeypatch.setattr(Search, "step", interrupted)
    training, validation = judges(SETTING, COURSE)
    found = tune(training, validation, start="max-batch", budget=50, seed=1, progress=silent)
    assert found.interrupted
    assert found.validation is None
    assert training.score(finished(found.table)) == found.training[TUNED]


def test_attainment_ranks_first_up_to_what_is_asked_and_then_utility() -> None:
    safe, good, bold = Score((0.7,), (0.9999,)), Score((0.8,), (0.999,)), Score((0.9,), (0.5,))
    assert sorted([bold, safe, good], key=lambda s: s.rank(0.999)) == [bold, safe, good]
    assert sorted([bold, safe, good], key=lambda s: s.rank(1.0)) == [bold, good, safe]


def test_behind_is_the_distance_to_the_best_rival_where_it_is_greatest() -> None:
    own, rivals = Score((0.75, 0.5), (1, 1)), [Score((0.5, 0.75), (1, 1)), Score((0.625, 0.25), (1, 1))]
    assert own.behind(rivals) == 0.25
    assert Score((0.75, 0.875), (1, 1)).behind(rivals) == -0.125


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from(["price", "slackfit", "max-accuracy"]))
def test_moved_cells_are_cells_that_fit(seed: int, spec: str) -> None:
    board = Board(TINY, 20 * MS, 50)
    cells = board.of(compile(named(spec), TINY, 2))
    random = np.random.default_rng(seed)
    for _ in range(5):
        cells = board.moved(cells, random)
    plans = [plan for row in TINY.plan for plan in row]
    for slack_ns, row in zip(board.slack_ns, cells.tolist(), strict=True):
        assert all(at < 0 or plans[at] <= slack_ns for at in row)
    table = board.table(cells, "t")
    assert (board.of(table) == cells).all()


def test_the_most_that_can_wait_are_those_of_one_slo() -> None:
    trace = Trace(np.array([0, 1, 2, 10, 11, 12, 13, 30], np.int64))
    assert deepest([trace], slo_ns=5) == 4
    assert deepest([trace], slo_ns=100) == 8
    assert longest_slo_ns([trace, replace(trace, slo_ns=np.array([0] * 7 + [9]))], slo_ns=5) == 9


def test_training_and_validation_traces_share_no_seed() -> None:
    train, validate = Course(["poisson", "bursty:4"], qps=[100, 200], duration_s=1, seed=5, seeds=2).traces(TINY, 2)
    assert (len(train), len(validate)) == (8, 8)
    assert {t.metadata["seed"] for t in train} == {5, 6}
    assert {t.metadata["seed"] for t in validate} == {7, 8}


def test_the_second_half_of_a_file_validates_what_the_first_has_taught() -> None:
    trace = Trace(np.array([0, 1, 4, 6, 9], np.int64), min_accuracy=np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    first, second = halves(trace)
    assert (first.arrival_ns.tolist(), second.arrival_ns.tolist()) == ([0, 1, 4], [0, 3])
    assert second.min_accuracy is not None
    assert second.min_accuracy.tolist() == [0.4, 0.5]
    with pytest.raises(SuperserveError, match="too short"):
        halves(Trace(np.zeros(3, np.int64)))


def test_the_grid_is_the_papers_on_the_reference_and_at_the_same_utilisation_elsewhere() -> None:
    reference = profiles.load("modelled").served()
    assert grid.factor(reference) == 1
    twice = replace(reference, plan=tuple(tuple(2 * ns for ns in row) for row in reference.plan))
    assert grid.factor(twice) == 0.5
    made = grid.bursty(0.5, seed=1, duration_s=1)
    assert [t.metadata["qps"] for t in made[::3]] == [0.5 * 4450, 0.5 * 6400, 0.5 * 7050]
    assert [t.metadata["cv2"] for t in made[:3]] == [2, 4, 8]


@pytest.mark.parametrize("spec", ["grid:0", "grid:x", "grid:nan"])
def test_a_grid_at_no_positive_multiple_is_refused(spec: str) -> None:
    with pytest.raises(SuperserveError, match="is not a positive number"):
        Course([spec]).traces(TINY, 2)


@pytest.mark.parametrize(
    ("course", "says"), [(Course(["poisson"], [0.5], [100]), "both say"), (Course(["grid"], [0.5]), "rates of their own")]
)
def test_rates_that_contradict_are_refused(course: Course, says: str) -> None:
    with pytest.raises(SuperserveError, match=says):
        course.traces(TINY, 2)


def test_gaps_are_to_the_bound_of_the_same_traces() -> None:
    training, validation = judges(SETTING, COURSE)
    said = told(tune(training, validation, start="price", budget=0, seed=0, progress=silent), training, validation)
    assert set(said["training"]["policies"]) == set(SHOWN)
    for judged in (said["training"], said["validation"]):
        for score in judged["policies"].values():
            assert score["gap"] == judged["bound"] - score["utility"]
            assert score["gap"] >= 0
    assert said["training"]["policies"]["price"]["utility"] > said["training"]["policies"]["slackfit"]["utility"]


def test_a_tuned_table_keeps_to_the_floors_of_its_traces() -> None:
    arrivals = traces.load("poisson", qps=200, duration_s=1, seed=1).arrival_ns
    floors = np.where(np.arange(len(arrivals)) % 2, 0.8, 0.0)
    judge = Judge(SETTING, (Trace(arrivals, min_accuracy=floors),))
    search = Search(judge, compile(named("max-batch"), TINY, 2), seed=0)
    assert search.score.attainment > 0.9
    assert search.score.utility >= 0.5 * 0.9 * search.score.attainment
