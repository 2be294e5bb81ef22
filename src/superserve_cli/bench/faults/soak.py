"""A million requests of all kinds, and what the memory of router and workers does meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import numpy as np

from superserve_cli.bench.faults import wire
from superserve_cli.bench.faults.running import Running, rss_bytes, sleepers, until
from superserve_cli.bench.faults.stage import ANSWERED, GONE, REFUSED, Stage, plain_profile
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers

CLIENTS: Final = 8
TOGETHER: Final = 32
"""Requests that a client sends at once."""
SAMPLES: Final = 100
SLO_US: Final = 60_000_000
LATENCY_MS: Final = 0.2
MOST_MB: Final = 8.0
"""What the fitted line may rise over a million requests: eight bytes each."""
WARM_SHARE: Final = 0.3
"""Of the samples, that are left out: pools and caches fill at first."""
SETTLES_S: Final = 20.0
MB: Final = 2**20


@dataclass
class Memory:
    """Samples of resident memory, in bytes, of router and workers together, by the requests sent until then."""

    sent: list[int] = field(default_factory=list)
    router: list[int] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)

    def look(self, server: Running, sent: int) -> None:
        """One sample."""
        self.sent.append(sent)
        self.router.append(server.rss_bytes())
        self.workers.append(sum(rss_bytes(pid) for pid in server.workers().values()))

    def rise_mb(self, used: Sequence[int]) -> float:
        """By how much the fitted line rises over a million requests, the warm-up left out."""
        warm = int(len(self.sent) * WARM_SHARE)
        slope = np.polyfit(self.sent[warm:], used[warm:], 1)[0]
        return float(slope * 1e6 / MB)


@dataclass
class Tally:
    """What was sent, and what came back."""

    sent: int = 0
    expected: Counter[int] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    by_queue: Counter[str] = field(default_factory=Counter)
    """Of those that reach the queue."""


def soak(stage: Stage) -> list[Figure]:
    """JSON, binary, malformed, too large, cancelled: mixed."""
    room, requests = stage.room("soak"), 50_000 if stage.quick else 1_000_000
    memory, tally = Memory(), Tally()
    with sleepers(room, Sleepers(2, plain_profile(room, LATENCY_MS), slo_ms=60_000)) as server:
        asyncio.run(_work(server, requests, memory, tally))
        until(lambda: sum(server.counts().values()) >= tally.by_queue.total(), SETTLES_S)
        stage.close(server, tally.by_queue)
    unexpected = (tally.expected - tally.statuses).total() + (tally.statuses - tally.expected).total()
    rise_mb, few = memory.rise_mb(memory.router), "too few requests to say" if stage.quick else ""
    return [
        Figure("soak_requests", "requests: JSON, binary, malformed, too large, cancelled", tally.sent, ""),
        Figure("soak_cancelled", "... of them cancelled", tally.by_queue[GONE], ""),
        Figure("soak_unexpected", "... with another answer than expected, or none", unexpected, "", 0),
        Figure("soak_router_mb", "... memory of the router at the end", memory.router[-1] / MB, "MB"),
        Figure("soak_rise_mb", "... its rise over a million requests", None if few else rise_mb, "MB", MOST_MB, note=few),
        Figure("soak_workers_rise_mb", "... that of the workers", None if few else memory.rise_mb(memory.workers), "MB", MOST_MB, note=few),
    ]


async def _work(server: Running, requests: int, memory: Memory, tally: Tally) -> None:
    step, seed = requests // SAMPLES, 0
    while tally.sent < requests:
        until_sent = tally.sent + step
        await asyncio.gather(*(_client(server, seed + client, until_sent, tally) for client in range(CLIENTS)))
        seed += CLIENTS
        memory.look(server, tally.sent)


async def _client(server: Running, seed: int, until_sent: int, tally: Tally) -> None:
    random, kinds = Random(seed), _kinds(server.model)
    connection = await wire.Wire.to(server.port)
    while tally.sent < until_sent:
        chosen = random.choices(kinds, weights=[kind.weight for kind in kinds], k=TOGETHER)
        tally.sent += TOGETHER
        for kind in chosen:
            tally.expected[kind.status] += 1
            if kind.bucket:
                tally.by_queue[kind.bucket] += 1
        tally.statuses.update(reply.status for reply in await connection.ask(*(kind.message for kind in chosen)))
    connection.close()
    await _cancel(server, tally)


async def _cancel(server: Running, tally: Tally) -> None:
    """Ask, and hang up."""
    connection = await wire.Wire.to(server.port)
    connection.writer.write(wire.binary(server.model, SLO_US) * TOGETHER)
    await connection.writer.drain()
    connection.close()
    tally.sent += TOGETHER
    tally.by_queue[GONE] += TOGETHER


@dataclass(frozen=True)
class Kind:
    """A request, how often it is sent, what it is answered, and what becomes of it if it reaches the queue."""

    message: bytes
    weight: int
    status: int
    bucket: str = ""


def _kinds(model: str) -> list[Kind]:
    return [
        Kind(wire.binary(model, SLO_US), 50, 200, ANSWERED),
        Kind(wire.text(model, SLO_US), 35, 200, ANSWERED),
        Kind(wire.text(model, SLO_US, rows=2), 5, 200, ANSWERED),
        Kind(wire.binary(model, SLO_US, rows=5), 3, 400, REFUSED),
        Kind(wire.post(model, b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,"x"]}]}'), 3, 400),
        Kind(wire.post(model, b'{"inputs": ['), 2, 400),
        Kind(wire.text("nobody", SLO_US), 2, 404),
    ]
