"""What a decision costs in the live router, which is plain Python."""

import time
from collections.abc import Callable
from statistics import median
from typing import Final

from superserve_cli.bench.figure import Figure
from superserve_cli.bench.workload import WORKERS, profile
from superserve_cli.core.nouns import Progress, Request, ms_to_ns
from superserve_cli.engine import Dispatch, Engine
from superserve_cli.policies import compile, named

CALLS: Final = 20_000
REPEATS: Final = 9


def decide(progress: Progress) -> list[Figure]:
    """A look-up in the decision table, and a request's whole way through the engine, in batches of one and of sixteen."""
    table, slacks = compile(named("slackfit"), profile(), WORKERS), [ms_to_ns(1 + i % 40) for i in range(CALLS)]
    work: list[tuple[str, str, float | None, Callable[[], object]]] = [
        ("lookup_us", "table look-up", 1.0, lambda: [table.index(slack, 16) for slack in slacks]),
        ("engine_us_batch_1", "arrive, decide, complete per request, batches of 1", None, lambda: _through_engine(1)),
        ("engine_us_batch_16", "... batches of 16", None, lambda: _through_engine(16)),
    ]
    figures = []
    for done, (key, what, target, calls) in enumerate(work):
        progress(done, len(work), what)
        figures.append(Figure(key, what, _us_per_call(calls), "us", target))
    progress(len(work), len(work), "")
    return figures


def _us_per_call(calls: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter_ns()
        calls()
        times.append((time.perf_counter_ns() - begun) / 1000 / CALLS)
    return median(times)


def _through_engine(together: int) -> None:
    """CALLS requests in groups that arrive together and leave as one batch of the fastest subnet."""
    engine = Engine(profile(), named("infaas"), "drop", 1)
    engine.restore(0)
    for first in range(0, CALLS, together):
        for id in range(first, first + together):
            engine.arrive(Request(id, 0, ms_to_ns(100)))
            if id == first + together - 1:
                decision = engine.decide(0)
                if not isinstance(decision, Dispatch) or len(decision.requests) != together:
                    raise AssertionError(f"the benchmark expects one batch of {together}, not {decision}")
        engine.complete(0)
