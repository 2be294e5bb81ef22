"""A server whose workers sleep as long as a profile says: `python sleeping_server.py JSON`, the fields of Sleepers; it says where it is.

Run as a file, because a module of this package would import all of it, torch included.
"""

import asyncio
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from superserve_cli import policies, profiles
from superserve_cli.core import outcomes
from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.serving.server import Server, run
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.workers.messages import Order

SLEEPER: Final = "superserve_cli.serving.workers.sleep:make"
MAD: Final = "superserve_cli.bench.faults.mad:make"


@dataclass(frozen=True)
class Sleepers:
    """What to serve, and how.

    Worker N reads its slowness from the file `slow`N, the last `mad` workers babble; with a `seed` they take times drawn from the
    profile. `shape` is that of a row, `out` is for the ledger.
    """

    workers: int
    profile: str
    slo_ms: float
    max_queue: int = 10_000
    hung_ms: float | None = None
    drift_guard: bool = True
    slow: str = ""
    mad: int = 0
    out: str = ""
    port: int = 0
    shape: tuple[int, ...] = (3,)
    seed: int | None = None

    def settings(self) -> Settings:
        """Those of the server."""
        return Settings(
            orders=[self._order(worker) for worker in range(self.workers)],
            profile=profiles.load(self.profile).served(None),
            policy=policies.named("slackfit"),
            late="shed",
            slo_ns=round(self.slo_ms * NS_PER_MS),
            port=self.port,
            grpc_port=0,
            max_queue=self.max_queue,
            record=bool(self.out),
            hung_ns=None if self.hung_ms is None else round(self.hung_ms * NS_PER_MS),
            drift_guard=self.drift_guard,
        )

    def _order(self, worker: int) -> Order:
        asked = {"profile": self.profile, "shape": self.shape}
        if worker >= self.workers - self.mad:
            return Order(MAD, {**asked, "seed": worker})
        return Order(SLEEPER, {**asked, "seed": self.seed, "slow": f"{self.slow}{worker}" if self.slow else None})


def main(sleepers: Sleepers) -> None:
    """Serve until SIGTERM, then write down what became of every request."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server = runner.run(run(sleepers.settings(), _opened))
    if (kept := server.outcomes()) is not None:
        outcomes.write(Path(sleepers.out), kept, {})


def _opened(server: Server) -> None:
    sys.stdout.write(f"serving sleeper on {server.url} and {server.grpc_url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Sleepers(**json.loads(sys.argv[1])))
