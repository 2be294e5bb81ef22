"""Workers that are killed under load: one after the other, down to half of them; and one of two that really compute."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from superserve_cli import traces
from superserve_cli.bench.faults.running import Running, children, running, sleepers, until
from superserve_cli.bench.faults.stage import Stage, attainment, of_run, unanswered
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers
from superserve_cli.core import outcomes
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.core.outcomes import MET, Outcomes
from superserve_cli.engine import recording
from superserve_cli.serving.load.replay import replay

WORKERS, KILLS = 8, 4
QPS: Final = 2100
SLO_MS: Final = 60
LEAST_ATTAINMENT: Final = 0.999
LOOK_S: Final = 0.02
BACK_S: Final = 45.0
"""The longest back-off is 30 s, and a start takes its time."""
REAL_SLO_MS: Final = 1000
REAL_QPS: Final = 40
BURSTY: Final = "bursty:4"
FEW: Final = 256
"""Connections of the load: what is sent beyond them waits, and shows as lateness."""


class Killer:
    """Kills workers, and all that come to take their places, until it is told to let them live."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._seen: set[int] = set()
        self.held: set[int] = set()
        self.times_ns: list[int] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def at_work(self, every_s: float, kills: int) -> Iterator[None]:
        """The first after so many seconds, and then one more each time."""
        self._every_s, self._kills = every_s, kills
        self._thread.start()
        try:
            yield
        finally:
            self._done.set()
            self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._done.wait(LOOK_S):
            if len(self.held) < self._kills and time.monotonic() - begun > self._every_s * (len(self.held) + 1):
                self.held.add(len(self.held))
                self._seen.clear()
                self.times_ns.append(time.monotonic_ns())
            if self.held and not self._seen.issuperset(children(self._server.pid)):
                self._strike()

    def _strike(self) -> None:
        for worker, pid in self._server.workers().items():
            if worker in self.held:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            else:
                self._seen.add(pid)


def losing(stage: Stage) -> list[Figure]:
    """Half of eight sleeping workers are killed, one after the other, and come back when they are let."""
    every_s = 2.0 if stage.quick else 12.0
    room, slo_ns = stage.room("losing"), SLO_MS * NS_PER_MS
    ledger = room / "outcomes.parquet"
    with sleepers(room, Sleepers(WORKERS, "modelled", SLO_MS, out=str(ledger))) as server:
        killer = Killer(server)
        trace = traces.load(BURSTY, qps=QPS, duration_s=every_s * (KILLS + 1))
        with killer.at_work(every_s, KILLS):
            run = replay(server.url, trace, slo_ns, model=server.model, connections=FEW)
        back_s = until(lambda: server.metrics()["superserve_live_workers"] == WORKERS, BACK_S)
        back_ns = time.monotonic_ns()
        again = replay(server.url, traces.load(BURSTY, qps=QPS, duration_s=every_s, seed=1), slo_ns, model=server.model, connections=FEW)
        stage.close(server, of_run(run) + of_run(again), ledger)
    kept, _ = outcomes.read(ledger)
    first, *_, last = [at_ns - server.opened_ns for at_ns in killer.times_ns]
    back = accuracy(kept, back_ns - server.opened_ns)
    all_up, half_up = accuracy(kept, 0, first), accuracy(kept, last, last + round(every_s * NS_PER_S))
    return [
        Figure("kill_requests", f"{KILLS} of {WORKERS} workers killed, one every {every_s:g} s: requests", len(run.outcomes), ""),
        Figure("kill_attainment", "... answered in time", attainment(run), "", LEAST_ATTAINMENT, at_least=True),
        Figure("kill_lag_p99_ms", "... sent later than intended, p99", run.lag_p99_ns / NS_PER_MS, "ms"),
        Figure("kill_unanswered", "... without any answer", unanswered(run), "", 0),
        Figure("kill_accuracy_all", f"... accuracy with {WORKERS} workers", all_up * 100, "%"),
        Figure("kill_accuracy_half", f"... accuracy with {WORKERS - KILLS}", half_up * 100, "%", all_up * 100),
        Figure("kill_back_s", "... all are back, after they are let", back_s, "s", BACK_S),
        Figure("kill_accuracy_back", "... accuracy then", back * 100, "%", half_up * 100, at_least=True),
        Figure("kill_attainment_back", "... answered in time", attainment(again), "", LEAST_ATTAINMENT, at_least=True),
    ]


def losing_real(stage: Stage) -> list[Figure]:
    """One of two workers that compute is killed, and comes back; every request is in outcomes and recording."""
    room, seconds = stage.room("losing-real"), 8.0 if stage.quick else 20.0
    kept, events = room / "run", room / "events.parquet"
    with running(_serve(kept, events), room) as server:
        killing = threading.Timer(seconds / 4, lambda: os.kill(server.workers()[0], signal.SIGKILL))
        killing.start()
        trace = traces.load(BURSTY, qps=REAL_QPS, duration_s=seconds)
        run = replay(server.url, trace, REAL_SLO_MS * NS_PER_MS, model=server.model, connections=FEW)
        killing.join()
        back_s = until(lambda: server.metrics()["superserve_live_workers"] == 2, BACK_S)
        stage.close(server, of_run(run), kept / "outcomes.parquet")
    arrived = sum(row == "arrive" for row in recording.read(events).table["event"].to_pylist())
    return [
        Figure("kill_real_requests", "one of two computing workers killed: requests", len(run.outcomes), ""),
        Figure("kill_real_attainment", "... answered in time", attainment(run), "", LEAST_ATTAINMENT, at_least=True),
        Figure("kill_real_unanswered", "... without any answer", unanswered(run), "", 0),
        Figure("kill_real_unrecorded", "... missing in the recording", abs(arrived - len(run.outcomes)), "", 0),
        Figure("kill_real_back_s", "... up again after the load's end", back_s, "s", BACK_S),
    ]


def accuracy(kept: Outcomes, begin_ns: int, end_ns: int | None = None) -> float:
    """Mean profiled accuracy of the requests that arrived then and were met."""
    arrived = (kept.arrival_ns >= begin_ns) & (kept.arrival_ns < (np.inf if end_ns is None else end_ns))
    return float(kept.accuracy[arrived & (kept.status == MET)].mean())


def _serve(out: Path, events: Path) -> list[str]:
    command = [sys.executable, "-m", "superserve_cli", "serve", "--device", "cpu", "--device", "cpu", "--threads", "1", "--port", "0", "-q"]
    return [*command, "--slo-ms", str(REAL_SLO_MS), "--out", str(out), "--record", str(events)]
