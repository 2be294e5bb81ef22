"""Requests straight into a router, with a worker process behind shared memory: serving without a network."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.engine import Engine
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.serving.clock import LoopClock
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.load.pace import Clock, quiet
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.refusals import Busy, Refusal
from superserve_cli.serving.router import Router
from superserve_cli.serving.waiting import Answer
from superserve_cli.serving.workers.messages import Order, Plan
from superserve_cli.serving.workers.process import ProcessWorker
from superserve_cli.traces import Trace

STEP_S = 0.01
PATIENCE_S = 30.0
PERCENT = 99
BREATH = 8


@dataclass(frozen=True)
class Direct:
    """What became of a trace, how busy its worker was (0..1, time in batches / wall time), and how late it was sent (p99)."""

    outcomes: Outcomes
    busy: float
    lag_p99_ns: int


def serve(order: Order, profile: Profile, runs: Sequence[tuple[Policy, Trace, int]], late: str, images: NDArray[Any]) -> list[Direct]:
    """Play each (policy, trace, SLO in ns), one after the other, at one and the same worker process."""
    with quiet(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(order, profile, runs, late, images))


async def _serve(
    order: Order, profile: Profile, runs: Sequence[tuple[Policy, Trace, int]], late: str, images: NDArray[Any]
) -> list[Direct]:
    worker = ProcessWorker(0, order)
    try:
        model = (await worker.introduced()).model
        await worker.warmed(Plan(profile.subnets, profile.batch_sizes, model.shape, model.classes, model.datatype))
        return [await _play(worker, profile, policy, late, trace, slo_ns, images) for policy, trace, slo_ns in runs]
    finally:
        worker.stop()


async def _play(
    worker: ProcessWorker, profile: Profile, policy: Policy, late: str, trace: Trace, slo_ns: int, images: NDArray[Any]
) -> Direct:
    ledger, metrics = Ledger(profile.subnets, profile.accuracies), Metrics()
    engine = Engine(profile, policy, late, 1)
    router = Router(engine, [worker], LoopClock(asyncio.get_running_loop()), metrics, ledger, len(trace))
    worker.report_to(router)
    arrivals_ns, lag_ns = trace.arrival_ns.tolist(), np.zeros(len(trace), np.int64)
    clock = Clock.started()

    def send(id: int) -> None:
        lag_ns[id] = clock.now_ns() - arrivals_ns[id]
        rows = images[id % len(images)][None]
        with suppress(Busy):  # the ledger has it
            router.submit(rows, max(1, slo_ns - int(lag_ns[id])), 0.0, _Nobody())

    await _on_schedule(arrivals_ns, clock, send)
    until_ns = clock.now_ns() + int(PATIENCE_S * NS_PER_S)
    while router.pending and clock.now_ns() < until_ns:
        await asyncio.sleep(STEP_S)
    busy = metrics.compute.total * NS_PER_S / clock.now_ns()
    return Direct(ledger.outcomes(clock.origin_ns), busy, int(np.percentile(lag_ns, PERCENT)))


async def _on_schedule(arrivals_ns: Sequence[int], clock: Clock, send: Callable[[int], None]) -> None:
    """Send each request when it is due, on the loop that the router runs on: the load generator proper blocks its thread."""
    for id, arrival_ns in enumerate(arrivals_ns):
        while (ahead_ns := arrival_ns - clock.now_ns()) > 0:
            await asyncio.sleep(ahead_ns / NS_PER_S)
        send(id)
        if id % BREATH == 0:
            await asyncio.sleep(0)  # in a burst the worker's answers are read too


class _Nobody:
    """Waits for a request that the ledger writes down."""

    def answered(self, answer: Answer) -> None:
        """It came."""

    def refused(self, refusal: Refusal) -> None:
        """It will not come."""
