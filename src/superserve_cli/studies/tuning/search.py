"""`superserve tune`: the best member of the policy families on training traces, then its decision table improved patch by patch.

A change is kept when it ranks higher on the training traces: first by the attainment of the worst of them, up to what is asked, then by
mean utility. What the search ends with is judged on traces of other seeds, and must be better there too: else its start is the result.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from superserve_cli.core.nouns import Progress
from superserve_cli.errors import BadOption
from superserve_cli.policies import DecisionTable, compile, finished, named
from superserve_cli.studies.tuning.courses import Course
from superserve_cli.studies.tuning.judging import Judge, Score, Setting
from superserve_cli.studies.tuning.moves import Board, deepest, longest_slo_ns

SHOWN: Final = ("price", "slackfit", "max-batch", "max-accuracy")
"""What a tuned policy is set beside."""
FAMILIES: Final = (
    *SHOWN,
    *(f"price:{scale:g}" for scale in (0.3, 0.4, 0.45, 0.8, 1, 1.3, 1.6, 2)),
    *(f"slackfit:{buckets}" for buckets in (1, 2, 3, 4, 6, 12, 16, 24)),
)
"""What the search may start from."""
TUNED: Final = "tuned"


@dataclass(frozen=True)
class Tuned:
    """The table that was found, what it started from, and the scores of all policies on both sets of traces, by name.

    `improved` says whether it is another table than the start's. `validation` is None where the search was interrupted: the table is
    then the best so far on the training traces alone.
    """

    table: DecisionTable
    start: str
    training: dict[str, Score]
    validation: dict[str, Score] | None
    improved: bool

    @property
    def interrupted(self) -> bool:
        """Whether the search was broken off."""
        return self.validation is None


def judges(setting: Setting, course: Course) -> tuple[Judge, Judge]:
    """Who judges on the traces to train on, and who on those to validate on."""
    train, validate = course.traces(setting.profile, setting.workers)
    return Judge(setting, train), Judge(setting, validate)


class Search:
    """A table that gets better patch by patch."""

    def __init__(self, judge: Judge, start: DecisionTable, seed: int) -> None:
        slo_ns = longest_slo_ns(judge.traces, judge.setting.slo_ns)
        self._judge, self._random = judge, np.random.default_rng(seed)
        self._board = Board(judge.setting.profile, slo_ns, deepest(judge.traces, slo_ns))
        self._cells = self._board.of(start)
        self.score = judge.score(finished(self.table()))

    def table(self) -> DecisionTable:
        """The best so far."""
        return self._board.table(self._cells, TUNED)

    def step(self) -> None:
        """Try one change, and keep it if it ranks higher."""
        least, cells = self._judge.setting.attainment, self._board.moved(self._cells, self._random)
        score = self._judge.score(finished(self._board.table(cells, TUNED)))
        if score.rank(least) > self.score.rank(least):
            self._cells, self.score = cells, score


def check(setting: Setting, start: str | None) -> None:
    """Refuse a start that no search can improve, or a profile that policies cannot rank; raises BadOption, BadFile or Unknown."""
    if start and named(start).control is not None:
        raise BadOption(
            f"policy {start} has a memory, and a table has none", hint="start from a policy that looks at slack and depth alone"
        )
    for spec in (*SHOWN, *([start] if start else ())):
        compile(named(spec), setting.profile, setting.workers)


def tune(training: Judge, validation: Judge, *, start: str | None, budget: int, seed: int, progress: Progress) -> Tuned:
    """Search with `budget` simulations of the training traces, from `start` or the best of FAMILIES; Ctrl-C ends the search early.

    Without a budget, policies are only compared.
    """
    setting, specs = training.setting, list(dict.fromkeys([*SHOWN, *([start] if start else FAMILIES if budget else ())]))
    scores: dict[str, Score] = {}
    for done, spec in enumerate(specs):
        progress(done, len(specs) + budget, spec)
        scores[spec] = training.score(named(spec))
    best = start or max(scores, key=lambda spec: scores[spec].rank(setting.attainment))
    table, names = compile(named(best), setting.profile, setting.workers), list(dict.fromkeys([*SHOWN, best]))
    shown = {name: scores[name] for name in names}
    if not budget:
        return Tuned(table, best, shown, {name: validation.score(named(name)) for name in names}, improved=False)
    search = Search(training, table, seed)
    try:
        for done in range(budget):
            progress(len(specs) + done, len(specs) + budget, f"{100 * search.score.utility:.3f} %")
            search.step()
        progress(len(specs) + budget, len(specs) + budget, "validating")
        judged = {name: validation.score(named(name)) for name in names}
        found = validation.score(finished(search.table()))
    except KeyboardInterrupt:
        return Tuned(
            search.table(),
            best,
            {TUNED: search.score, **shown},
            None,
            improved=search.score.rank(setting.attainment) > scores[best].rank(setting.attainment),
        )
    if found.rank(setting.attainment) > judged[best].rank(setting.attainment):
        return Tuned(search.table(), best, {TUNED: search.score, **shown}, {TUNED: found, **judged}, improved=True)
    return Tuned(replace(table, policy=TUNED), best, {TUNED: scores[best], **shown}, {TUNED: judged[best], **judged}, improved=False)
