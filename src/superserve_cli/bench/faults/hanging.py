"""A worker that hangs: it is stopped (SIGSTOP) while it has a batch, so that only the watchdog can tell."""

import asyncio
import os
import signal
import threading
import time
from typing import Final

from superserve_cli import traces
from superserve_cli.bench.faults import wire
from superserve_cli.bench.faults.running import Running, alive, sleepers, until
from superserve_cli.bench.faults.stage import ANSWERED, Stage, attainment, of_run, plain_profile, unanswered
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers
from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.serving.load.replay import replay

WORKERS: Final = 4
QPS: Final = 400
SLO_MS: Final = 100
CONNECTIONS: Final = 64
MOST_DETECT_S: Final = 4.0
"""A batch hangs when it takes longer than three seconds (and ten times its plan)."""
MOST_BACK_S: Final = 10.0
LEAST_ATTAINMENT: Final = 0.99
"""The batch that hangs is lost to so short an SLO: up to sixteen requests."""
LONG_US: Final = 20_000_000
WAIT: Final = 12


class Stopper:
    """Stops the first worker after a while, and measures how long it takes until it is found out and until another is up."""

    def __init__(self, server: Running, after_s: float) -> None:
        self.detected_s = self.restored_s = float("nan")
        self._server = server
        self._thread = threading.Timer(after_s, self._run)
        self._thread.start()

    def _run(self) -> None:
        pid = self._server.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        until(lambda: not alive(pid), MOST_BACK_S)
        self.detected_s = time.monotonic() - begun
        until(lambda: self._server.metrics()["superserve_live_workers"] == WORKERS, MOST_BACK_S)
        self.restored_s = time.monotonic() - begun

    def wait(self) -> None:
        """Until it is done."""
        self._thread.join()


def hanging(stage: Stage) -> list[Figure]:
    """One of four workers hangs under load; then one of two while patient requests are on it."""
    room, seconds = stage.room("hanging"), 5.0 if stage.quick else 15.0
    ledger = room / "outcomes.parquet"
    with sleepers(room, Sleepers(WORKERS, "modelled", SLO_MS, out=str(ledger))) as server:
        stopper = Stopper(server, seconds / 4)
        trace = traces.load("bursty:2", qps=QPS, duration_s=seconds)
        run = replay(server.url, trace, SLO_MS * NS_PER_MS, model=server.model, connections=CONNECTIONS)
        stopper.wait()
        stage.close(server, of_run(run), ledger)
    return [
        Figure("hang_requests", f"one of {WORKERS} workers hangs: requests", len(run.outcomes), ""),
        Figure("hang_attainment", "... answered in time", attainment(run), "", LEAST_ATTAINMENT, at_least=True),
        Figure("hang_unanswered", "... without any answer", unanswered(run), "", 0),
        Figure("hang_detected_s", "... found out after", stopper.detected_s, "s", MOST_DETECT_S),
        Figure("hang_restored_s", "... another worker is up after", stopper.restored_s, "s", MOST_BACK_S),
        Figure("hang_requeued", f"... of {WAIT} patient requests, answered by the other worker", _patient(stage), "", WAIT, at_least=True),
    ]


def _patient(stage: Stage) -> int:
    """How many are answered whose SLO is long enough to run elsewhere, the first of them on a worker that is stopped already."""
    room = stage.room("hanging-patient")
    with sleepers(room, Sleepers(2, plain_profile(room, latency_ms=20), slo_ms=100)) as server:
        os.kill(server.workers()[0], signal.SIGSTOP)
        replies = asyncio.run(_asked(server))
        stage.close(server, {ANSWERED: WAIT})
    return sum(reply.status == 200 for reply in replies)


async def _asked(server: Running) -> list[wire.Reply]:
    connection = await wire.Wire.to(server.port)
    replies = await connection.ask(*[wire.binary(server.model, LONG_US)] * WAIT)
    connection.close()
    return replies
