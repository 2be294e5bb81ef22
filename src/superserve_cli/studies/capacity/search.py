"""How much a policy carries: the largest rate on given workers, or the fewest workers for a given rate, at an SLO attainment.

Attainment is a random function of the load. So all policies and all loads are tried on the same seeds, and what is compared with
the limit is the attainment of all seeds' requests together: the worst seed would grow worse with every seed that is added. What
each seed alone would say stands beside the answer, and so does the attainment on as many seeds that the search has not seen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from math import ceil, floor, log
from typing import Final, NamedTuple

import numpy as np

from superserve_cli.core.nouns import Progress, silent
from superserve_cli.core.outcomes import REJECTED
from superserve_cli.engine.check import MOST_WORKERS
from superserve_cli.engine.simulator import simulate
from superserve_cli.errors import BadOption
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.reports import metrics
from superserve_cli.studies.capacity.threshold import largest
from superserve_cli.traces import Trace

STEP: Final = 1.01
"""Rates are tried in steps of one per cent: the relative tolerance of the answer."""
FEWEST_REQUESTS: Final = 20
MOST_REQUESTS: Final = 20_000_000
"""Of one trace: at fewer, an attainment says nothing; more do not fit the memory of an ordinary machine."""
LIGHTEST: Final = 1 / 1000
"""The lowest rate to try, relative to what the median subnet sustains: who fails there fails at any rate."""
STRIDE: Final = 8
MOST_SEEDS: Final = 100


@dataclass(frozen=True)
class Question:
    """What is served, and what counts as carrying it.

    `arrivals(qps, seed)` is a trace of `duration_s`; a request has `rows` rows on average. `seeds` are searched on, `fresh` ones
    only confirm. Raises BadOption for an attainment that is not above 0 and at most 1, and for too few or too many seeds.
    """

    arrivals: Callable[[float, int], Trace]
    profile: Profile
    duration_s: float
    slo_ns: int
    late: str = "shed"
    service: str = "fixed"
    attainment: float = 0.999
    seeds: Sequence[int] = (0, 1, 2)
    fresh: Sequence[int] = ()
    rows: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.attainment <= 1:
            raise BadOption(f"--attainment is {self.attainment:g}; it must lie above 0 and be at most 1", hint="write 99.9 % as 0.999")
        if not 1 <= len(self.seeds) <= MOST_SEEDS:
            raise BadOption(f"{len(self.seeds)} seeds", hint=f"give between 1 and {MOST_SEEDS}")

    @cached_property
    def trace(self) -> Callable[[float, int], Trace]:
        """`arrivals`, the latest of which are kept: fleets of any size are tried on the same ones."""
        return lru_cache(maxsize=len(self.seeds) + len(self.fresh))(self.arrivals)


class Load(NamedTuple):
    """So many requests per second on so many workers."""

    qps: float
    workers: int


class Tally(NamedTuple):
    """What became of some requests; `worth` is the accuracy of the met ones, summed, or None where it is unknown."""

    requests: int
    met: int
    rejected: int
    worth: float | None

    @property
    def attainment(self) -> float:
        """Share of the requests that were met."""
        return self.met / self.requests

    @property
    def accuracy(self) -> float | None:
        """Mean accuracy over the met requests."""
        return None if self.worth is None or not self.met else self.worth / self.met

    @property
    def utility(self) -> float | None:
        """Summed accuracy of the met requests over the number of all."""
        return None if self.worth is None else self.worth / self.requests


@dataclass(frozen=True)
class Ladder:
    """Loads by number, from the lightest to the heaviest that make sense; `start` is where to begin."""

    load: Callable[[int], Load]
    lightest: int
    heaviest: int
    start: int
    stride: int

    def highest(self, holds: Callable[[Load], bool], start: int | None = None) -> int | None:
        """The number of the heaviest load that holds, from the usual place or beside one that is known to be near."""
        near, stride = (self.start, self.stride) if start is None else (start, 1)
        return largest(lambda number: holds(self.load(number)), self.lightest, self.heaviest, near, stride)


@dataclass(frozen=True)
class Found:
    """The answer for one policy.

    `at` is the heaviest load that holds, None where not even the lightest does; `tally` is of all seeds there (or at the lightest),
    `by_seed` of each. `alone` is what each seed would have answered by itself. `beyond` is the next load and what became of it,
    None where the search ended at its heaviest. `fresh` is of seeds that the search has not seen; `tried` has every load of the search.
    """

    policy: str
    at: Load | None
    tally: Tally
    by_seed: tuple[Tally, ...]
    alone: tuple[Load | None, ...]
    beyond: tuple[Load, Tally] | None
    fresh: Tally | None
    tried: tuple[tuple[Load, Tally], ...]


def rates(question: Question, workers: int) -> Ladder:
    """Rates in steps of STEP on some workers; each has four digits, so that it can be typed again."""
    near = question.profile.sustained_qps(workers) / question.rows
    most = MOST_REQUESTS / question.duration_s
    start = _rung(min(near, most))
    lightest = max(_rung(near * LIGHTEST), _rung(FEWEST_REQUESTS / question.duration_s) + 1)
    return Ladder(lambda rung: Load(float(f"{STEP**rung:.4g}"), workers), lightest, max(_rung(most), lightest), start, STRIDE)


def fleets(question: Question, qps: float) -> Ladder:
    """Ever fewer workers for one rate, down to a single one; no more than there are requests."""
    most = min(MOST_WORKERS, max(len(question.trace(qps, seed)) for seed in question.seeds))
    start = ceil(qps * question.rows / question.profile.sustained_qps(1))
    return Ladder(lambda number: Load(qps, -number), -most, -1, -start, 1)


def _rung(qps: float) -> int:
    return floor(log(qps) / log(STEP))


@dataclass
class Trials:
    """One policy's tallies by load and seed: each is simulated once."""

    question: Question
    policy: Policy
    watch: Callable[[Load], None]
    known: dict[tuple[Load, int], Tally] = field(default_factory=dict)

    def tally(self, load: Load, seed: int) -> Tally:
        """What becomes of the requests of one seed."""
        if (load, seed) not in self.known:
            self.watch(load)
            self.known[load, seed] = _simulated(self.question, self.policy, load, seed)
        return self.known[load, seed]

    def pooled(self, load: Load, seeds: Iterable[int]) -> Tally:
        """What becomes of the requests of several seeds."""
        tallies = [self.tally(load, seed) for seed in seeds]
        worths = [tally.worth for tally in tallies]
        worth = None if None in worths else sum(w for w in worths if w is not None)
        return Tally(sum(t.requests for t in tallies), sum(t.met for t in tallies), sum(t.rejected for t in tallies), worth)


def _simulated(question: Question, policy: Policy, load: Load, seed: int) -> Tally:
    ended = simulate(
        question.trace(load.qps, seed),
        question.profile,
        policy,
        workers=load.workers,
        slo_ns=question.slo_ns,
        late=question.late,
        service=question.service,
        seed=seed,
    )
    utility = metrics.utility(ended)
    rejected = int(np.equal(ended.status, REJECTED).sum())
    return Tally(len(ended), int(metrics.met(ended).sum()), rejected, None if utility is None else utility * len(ended))


def find(question: Question, policy: Policy, ladder: Ladder, watch: Callable[[Load], None]) -> Found:
    """The heaviest load of a ladder at which a policy reaches the attainment."""
    trials, limit = Trials(question, policy, watch), question.attainment
    tried: dict[Load, Tally] = {}

    def holds(load: Load) -> bool:
        tried[load] = trials.pooled(load, question.seeds)
        return tried[load].attainment >= limit

    def holds_alone(seed: int, load: Load) -> bool:
        return trials.tally(load, seed).attainment >= limit

    number = ladder.highest(holds)
    beside = ladder.lightest if number is None else number
    there = ladder.load(beside)
    alone = [ladder.highest(partial(holds_alone, seed), beside) for seed in question.seeds]
    beyond = None if number is None or number == ladder.heaviest else ladder.load(number + 1)
    return Found(
        policy=policy.name,
        at=None if number is None else there,
        tally=tried[there],
        by_seed=tuple(trials.tally(there, seed) for seed in question.seeds),
        alone=tuple(None if own is None else ladder.load(own) for own in alone),
        beyond=None if beyond is None else (beyond, tried[beyond]),
        fresh=trials.pooled(there, question.fresh) if question.fresh else None,
        tried=tuple(sorted(tried.items())),
    )


def find_all(question: Question, policies: Sequence[Policy], ladder: Ladder, progress: Progress = silent) -> list[Found]:
    """The answers for several policies, those that carry most first, and of equals the one of the highest utility."""
    found = []
    for done, policy in enumerate(policies):

        def watch(load: Load, done: int = done, name: str = policy.name) -> None:
            progress(done, len(policies), f"{name}: {load.qps:,.6g}/s on {load.workers}")

        found.append(find(question, policy, ladder, watch))
    progress(len(policies), len(policies), "")
    return sorted(found, key=_rank)


def _rank(found: Found) -> tuple[bool, float, float, float, float]:
    at = found.at or Load(0.0, 0)
    return found.at is None, -at.qps, at.workers, -(found.tally.utility or 0.0), -found.tally.attainment
