"""More requests than the queue holds: who finds no place is told so at once, and nobody else waits longer for it."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from superserve_cli.bench.faults import wire
from superserve_cli.bench.faults.running import Running, sleepers
from superserve_cli.bench.faults.stage import ANSWERED, GONE, LATER, REFUSED, Stage, plain_profile
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers

QPS: Final = 1000
MAX_QUEUE: Final = 100
LATENCY_MS: Final = 100
SLO_US: Final = 60_000_000
PROBE_S: Final = 0.05
MOST_REFUSED_MS: Final = 50.0
MOST_PROBE_MS: Final = 50.0
HEALTH: Final = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
KINDS: Final = {200: ANSWERED, 503: REFUSED, 504: LATER}


@dataclass
class Seen:
    """What the clients saw; times in seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    refused_s: list[float] = field(default_factory=list)
    probes_s: list[float] = field(default_factory=list)
    retry_after_s: list[int] = field(default_factory=list)
    without_hint: int = 0


def full_queue(stage: Stage) -> list[Figure]:
    """Ten times what two workers can do, for a while."""
    room, seconds = stage.room("full"), 3.0 if stage.quick else 15.0
    ledger = room / "outcomes.parquet"
    asked = Sleepers(2, plain_profile(room, LATENCY_MS), slo_ms=60_000, max_queue=MAX_QUEUE, out=str(ledger))
    with sleepers(room, asked) as server:
        seen = asyncio.run(_flood(server, seconds))
        stage.close(server, seen.counts, ledger)
    return [
        Figure("full_requests", f"{QPS} requests/s to a queue of {MAX_QUEUE} that drains at 80/s: requests", seen.counts.total(), ""),
        Figure("full_answered", "... answered", seen.counts[ANSWERED], ""),
        Figure("full_refused", "... refused with 503", seen.counts[REFUSED], ""),
        Figure("full_without_hint", "... of them without a Retry-After of at least a second", seen.without_hint, "", 0),
        Figure("full_retry_after_s", "... median of Retry-After", float(np.median(seen.retry_after_s or [0])), "s"),
        Figure("full_unanswered", "... anything else", seen.counts[GONE] + seen.counts[LATER], "", 0),
        Figure("full_refused_p99_ms", "... time to a refusal, p99", _p99_ms(seen.refused_s), "ms", MOST_REFUSED_MS),
        Figure("full_health_p99_ms", "... time of a health check meanwhile, p99", _p99_ms(seen.probes_s), "ms", MOST_PROBE_MS),
    ]


async def _flood(server: Running, seconds: float) -> Seen:
    seen, idle = Seen(), list[wire.Wire]()
    message, begun = wire.binary(server.model, SLO_US), time.monotonic()
    probing = asyncio.create_task(_probe(server, seen))
    asking = []
    for number in range(round(QPS * seconds)):
        if (ahead_s := begun + number / QPS - time.monotonic()) > 0:
            await asyncio.sleep(ahead_s)
        asking.append(asyncio.create_task(_one(server, message, seen, idle)))
    await asyncio.gather(*asking)
    probing.cancel()
    for connection in idle:
        connection.close()
    return seen


async def _one(server: Running, message: bytes, seen: Seen, idle: list[wire.Wire]) -> None:
    try:
        connection = idle.pop() if idle else await wire.Wire.to(server.port)
        begun = time.monotonic()
        (reply,) = await connection.ask(message)
    except (OSError, wire.Broken):
        seen.counts[GONE] += 1
        return
    idle.append(connection)
    seen.counts[KINDS.get(reply.status, GONE)] += 1
    if reply.status == 503:
        seen.refused_s.append(time.monotonic() - begun)
        hint = reply.headers.get("retry-after", "")
        seen.without_hint += not hint.isdigit() or int(hint) < 1
        seen.retry_after_s.append(int(hint) if hint.isdigit() else 0)


async def _probe(server: Running, seen: Seen) -> None:
    connection = await wire.Wire.to(server.port)
    while True:
        begun = time.monotonic()
        await connection.ask(HEALTH)
        seen.probes_s.append(time.monotonic() - begun)
        await asyncio.sleep(PROBE_S)


def _p99_ms(seconds: list[float]) -> float:
    return float(np.percentile(seconds or [np.nan], 99)) * 1000
