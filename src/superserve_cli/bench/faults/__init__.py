"""Things made to go wrong on purpose: real processes are killed, stopped, slowed, flooded and lied to, and what then happens is counted.

Each scenario is a function of a Stage that returns figures; `faults` plays them all and adds what holds for all of them.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from superserve_cli.bench.faults.full_queue import full_queue
from superserve_cli.bench.faults.fuzzing import fuzzing
from superserve_cli.bench.faults.hanging import hanging
from superserve_cli.bench.faults.losing import losing, losing_real
from superserve_cli.bench.faults.router_killed import router_killed
from superserve_cli.bench.faults.slowing import slowing
from superserve_cli.bench.faults.soak import soak
from superserve_cli.bench.faults.stage import Stage
from superserve_cli.bench.faults.vanishing import vanishing
from superserve_cli.bench.figure import Figure
from superserve_cli.core.nouns import Progress

SCENARIOS: Final[tuple[Callable[[Stage], list[Figure]], ...]] = (
    losing,
    losing_real,
    hanging,
    slowing,
    router_killed,
    full_queue,
    vanishing,
    fuzzing,
    soak,
)


def faults(progress: Progress, quick: bool = False) -> list[Figure]:
    """Every scenario, and what everybody counted over all of them; `quick` shows that they work, and its figures are worth less."""
    with TemporaryDirectory(prefix="superserve-faults-") as folder:
        stage = Stage(Path(folder), quick)
        figures: list[Figure] = []
        for done, scenario in enumerate(SCENARIOS):
            progress(done, len(SCENARIOS), scenario.__name__)
            figures += scenario(stage)
        progress(len(SCENARIOS), len(SCENARIOS), "")
        return figures + accounts(stage)


def accounts(stage: Stage) -> list[Figure]:
    """What clients, metrics and ledgers of all servers counted, and what their logs said."""
    ledgers = [book for book in stage.books if book.ledger is not None]
    shown = "; ".join(stage.complaints[:3])
    return [
        Figure("sent", "requests that reached a queue, over all scenarios", sum(book.sent for book in stage.books), ""),
        Figure("sent_in_ledgers", "... of them in servers that kept a ledger", sum(book.sent for book in ledgers), ""),
        Figure("differences", "... missing or too many at clients, metrics or ledger", sum(b.differences for b in stage.books), "", 0),
        Figure("complaints", "... lines of logs that speak of a bug", len(stage.complaints), "", 0, note=shown),
    ]


__all__ = ["SCENARIOS", "Stage", "accounts", "faults"]
