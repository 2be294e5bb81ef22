import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from superserve_cli.core.nouns import NS_PER_S, Progress, silent
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.errors import BadOption
from superserve_cli.serving.load.answers import Broken, read_answer, read_complaint
from superserve_cli.serving.load.ledger import Ledger
from superserve_cli.serving.load.pace import Clock, idle_lag_ns, pace, quiet
from superserve_cli.serving.load.pool import Pool
from superserve_cli.serving.load.questions import Questions
from superserve_cli.serving.load.target import Target, find
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace

CONNECTIONS: Final = 900
"""The most that are opened: what the usual limit of 1024 open files leaves."""
WARM: Final = 16
GRACE_S: Final = 10.0
PATIENCE_S: Final = 0.02
GLANCE_S: Final = 0.5
"""Drawing progress takes milliseconds, in which nothing is sent."""


@dataclass(frozen=True)
class LiveRun:
    """What became of a trace on a live server, and whether to believe it.

    `server` is what the server says of its model (see `describe`); `valid` is false when the generator could not keep the schedule
    (lag p99 above 5 ms and above 10 % of the SLO), when the target went away, or when more than 1 % of the requests failed, and
    `problems` says so; `complaints` counts the refusals and failures by their text, `connections` those that were opened.
    """

    outcomes: Outcomes
    server: dict[str, Any]
    lag_p99_ns: int
    idle_lag_ns: int
    problems: list[str]
    complaints: Mapping[str, int]
    connections: int

    @property
    def valid(self) -> bool:
        """No rule of a valid run was broken."""
        return not self.problems


def replay(
    target: str,
    trace: Trace,
    slo_ns: int,
    samples: Split | None = None,
    *,
    model: str | None = None,
    connections: int = CONNECTIONS,
    grace_s: float = GRACE_S,
    progress: Progress = silent,
) -> LiveRun:
    """Send a trace to a live server on its intended schedule, and judge every answer by this side's clock.

    `samples` are sent in a shuffled order that is always the same, and compared with the answers' largest outputs; without them
    zeros are sent. At most `connections` are opened at once; an answer may still come, and be called late, until `grace_s` after
    the last deadline. Raises Unreachable before the run; a target that dies in it leaves a run that is not valid.
    """
    if connections < 1:
        raise BadOption(f"{connections} connections are too few", hint="allow at least one")
    found = find(target, model)
    run = _Run(Questions(found, trace, samples), Ledger(trace, slo_ns))
    with quiet(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        idle_ns = runner.run(idle_lag_ns())
        pool = runner.run(_drive(run, found, connections, grace_s, progress))
    ledger = run.ledger
    progress(ledger.ended, len(trace), f"{ledger.met} in time")
    return LiveRun(
        outcomes=ledger.outcomes(),
        server=found.description,
        lag_p99_ns=ledger.lag_p99_ns(),
        idle_lag_ns=idle_ns,
        problems=(["the target went away"] if pool.gone else []) + ledger.problems(idle_ns, pool.waited),
        complaints=dict(ledger.failures + ledger.refusals),
        connections=pool.opened,
    )


class _Run:
    """Joins the ledger with the wire: what the pool asks of whoever owns the requests."""

    def __init__(self, questions: Questions, ledger: Ledger) -> None:
        self.ledger = ledger
        self.clock = Clock.started()
        self._questions = questions

    def compose(self, id: int) -> bytes:
        left_ns = self.ledger.sent(id, self.clock.now_ns())
        return self._questions.message(id, max(1, left_ns // 1000))  # the protocol's 0 would mean that there is no deadline

    def answered(self, id: int, status: int, body: bytes, json_bytes: int | None) -> None:
        now_ns = self.clock.now_ns()
        if status != 200:
            self.ledger.refused(id, now_ns, status, "" if status == 504 else read_complaint(status, body))
            return
        try:
            self.ledger.answered(id, now_ns, read_answer(body, json_bytes, self._questions.labels(id)))
        except Broken as error:
            self.ledger.failed(id, now_ns, str(error))

    def lost(self, id: int, reason: str) -> None:
        self.ledger.failed(id, self.clock.now_ns(), reason)


async def _drive(run: _Run, target: Target, limit: int, grace_s: float, progress: Progress) -> Pool:
    """The whole run, until all is answered, too late to be, or the target has gone."""
    loop = asyncio.get_running_loop()
    pool = Pool(target, limit, run)
    loop.set_exception_handler(lambda _, context: pool.crash(context))
    await pool.warm_up(WARM)
    run.clock = Clock.started()
    tasks = {loop.create_task(_send(run, pool, grace_s)), loop.create_task(_watch(run.ledger, progress))}
    try:
        ended, _ = await asyncio.wait({*tasks, pool.over}, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            each.result()
    finally:
        for task in tasks:
            task.cancel()
        pool.close()
    run.ledger.close(run.clock.now_ns(), "the target went away" if pool.gone else f"no answer within {grace_s:g} s of the last deadline")
    return pool


async def _send(run: _Run, pool: Pool, grace_s: float) -> None:
    """Everything on schedule, then patience."""
    ledger = run.ledger
    await pace(ledger.arrivals_ns, run.clock, pool.submit)
    last_ns = max(ledger.deadlines_ns, default=0) + int(grace_s * NS_PER_S)
    while ledger.ended < len(ledger.arrivals_ns) and run.clock.now_ns() < last_ns:
        await asyncio.sleep(PATIENCE_S)


async def _watch(ledger: Ledger, progress: Progress) -> None:
    while True:
        progress(ledger.ended, len(ledger.arrivals_ns), f"{ledger.met} in time")
        await asyncio.sleep(GLANCE_S)
