"""Where the scenarios play: a folder, how long they may take, and what everybody counted."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from superserve_cli.bench.faults.running import Running
from superserve_cli.core import outcomes
from superserve_cli.core.outcomes import DROPPED, FAILED, LATE, MET, REJECTED, STATUSES, Outcomes
from superserve_cli.serving.load.replay import LiveRun

ANSWERED, LATER, REFUSED, GONE = "answered", "dropped", "refused", "gone"
BUCKETS: Final = {MET: ANSWERED, LATE: ANSWERED, DROPPED: LATER, REJECTED: REFUSED, FAILED: REFUSED}
"""What a client can tell apart: an answer, 504, and all other refusals. `gone` are clients that did not wait."""
PROFILE: Final = "subnet,batch_size,latency_ms,accuracy\nonly,1,{ms:g},0.8\nonly,2,{ms:g},0.8\nonly,4,{ms:g},0.8\n"


@dataclass(frozen=True)
class Book:
    """The requests of one server as client, metrics and (where there is one) ledger counted them."""

    client: Mapping[str, int]
    server: Mapping[str, int]
    ledger: Mapping[str, int] | None = None

    @property
    def sent(self) -> int:
        """Requests that the client sent."""
        return sum(self.client.values())

    @property
    def differences(self) -> int:
        """Requests that are missing or too many, seen by anybody."""
        others = [self.server] if self.ledger is None else [self.server, self.ledger]
        return sum(_difference(self.client, other) for other in others)


@dataclass(frozen=True)
class Stage:
    """A folder for files and logs, whether figures are worth less than time, and the books that were closed."""

    folder: Path
    quick: bool
    books: list[Book] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def room(self, name: str) -> Path:
        """A folder of a scenario's own."""
        room = self.folder / name
        room.mkdir()
        return room

    def close(self, server: Running, client: Mapping[str, int], ledger: Path | None = None) -> Book:
        """Have the server end, and compare what everybody counted."""
        counted = server.counts()
        server.stop()
        self.complaints.extend(server.complaints())
        kept = None if ledger is None else of_outcomes(outcomes.read(ledger)[0])
        by_metrics = Counter[str]()
        for code, status in enumerate(STATUSES):
            by_metrics[BUCKETS[code]] += counted[status]
        self.books.append(Book(client, by_metrics, kept))
        return self.books[-1]


def plain_profile(folder: Path, latency_ms: float) -> str:
    """A profile of one subnet whose batches, of up to four, all take so long."""
    path = folder / "profile.csv"
    path.write_text(PROFILE.format(ms=latency_ms))
    return str(path)


def of_outcomes(kept: Outcomes) -> Counter[str]:
    """Requests by what a client can tell apart."""
    found = Counter[str]()
    for status, count in zip(*np.unique(kept.status, return_counts=True), strict=True):
        found[BUCKETS[int(status)]] += int(count)
    return found


def of_run(run: LiveRun) -> Counter[str]:
    """Those of a replayed trace."""
    return of_outcomes(run.outcomes)


def attainment(run: LiveRun) -> float:
    """Share of the requests that were answered in time, by the client's clock, from the intended arrival."""
    return float((run.outcomes.status == MET).mean())


def unanswered(run: LiveRun) -> int:
    """Requests that got no answer, or one that cannot be read: 504 and other refusals are answers."""
    return int((run.outcomes.status == FAILED).sum())


def _difference(client: Mapping[str, int], other: Mapping[str, int]) -> int:
    missing = abs(sum(client.values()) - sum(other.values()))
    if client.get(GONE):  # who did not wait cannot say what became of it: the others must be there at least
        return missing + sum(max(0, client.get(bucket, 0) - other.get(bucket, 0)) for bucket in (ANSWERED, LATER, REFUSED))
    return max(missing, *(abs(client.get(bucket, 0) - other.get(bucket, 0)) for bucket in (ANSWERED, LATER, REFUSED)))
