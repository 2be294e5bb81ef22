"""A worker that becomes three times as slow as its profile, with the drift guard and without."""

import threading
import time
from typing import Final

from superserve_cli import traces
from superserve_cli.bench.faults.running import Running, sleepers
from superserve_cli.bench.faults.stage import Stage, attainment, of_run, unanswered
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers
from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.serving.load.replay import LiveRun, replay

WORKERS: Final = 4
QPS: Final = 1000
SLO_MS: Final = 60
SLOWNESS: Final = "3"
CONNECTIONS: Final = 64
LOOK_S: Final = 0.1
LEAST_ATTAINMENT: Final = 0.98
"""What was late until the guard had seen enough batches is lost."""
MOST_NOTICED_S: Final = 3.0


class Watcher:
    """Looks when the first request has come, and when planning for the first worker changes."""

    def __init__(self, server: Running) -> None:
        self.noticed_s: float | None = None
        self._server = server
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        begun: float | None = None
        while not self._done.wait(LOOK_S) and self.noticed_s is None:
            said = self._server.metrics()
            if begun is None and said.get("superserve_worker_batches_total{0}"):
                begun = time.monotonic()
            if begun is not None and said["superserve_plan_scale{0}"] > 1:
                self.noticed_s = time.monotonic() - begun

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join()


def slowing(stage: Stage) -> list[Figure]:
    """One of four workers is slow from the beginning."""
    guarded, noticed_s = _run(stage, guard=True)
    unguarded, _ = _run(stage, guard=False)
    with_guard, without = attainment(guarded), attainment(unguarded)
    return [
        Figure("slow_requests", f"one of {WORKERS} workers is {SLOWNESS} times as slow as profiled: requests", len(guarded.outcomes), ""),
        Figure("slow_attainment", "... answered in time, with the drift guard", with_guard, "", LEAST_ATTAINMENT, at_least=True),
        Figure("slow_attainment_unguarded", "... without it", without, "", with_guard),
        Figure("slow_unanswered", "... without any answer", unanswered(guarded) + unanswered(unguarded), "", 0),
        Figure("slow_noticed_s", "... planned as slow after", noticed_s, "s", MOST_NOTICED_S, note="never"),
    ]


def _run(stage: Stage, guard: bool) -> tuple[LiveRun, float | None]:
    room, seconds = stage.room(f"slowing-{guard}"), 6.0 if stage.quick else 20.0
    ledger = room / "outcomes.parquet"
    (room / "slow0").write_text(SLOWNESS)
    asked = Sleepers(WORKERS, "modelled", SLO_MS, drift_guard=guard, slow=str(room / "slow"), out=str(ledger))
    with sleepers(room, asked) as server:
        watcher = Watcher(server)
        run = replay(
            server.url,
            traces.load("bursty:2", qps=QPS, duration_s=seconds),
            SLO_MS * NS_PER_MS,
            model=server.model,
            connections=CONNECTIONS,
        )
        watcher.stop()
        stage.close(server, of_run(run), ledger)
    return run, watcher.noticed_s
