"""The router is killed (SIGKILL) while it has requests, and started again on the same port."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from superserve_cli.bench.faults import wire
from superserve_cli.bench.faults.running import Running, alive, memories, sleepers, until
from superserve_cli.bench.faults.stage import Stage, plain_profile
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers

CLIENTS: Final = 64
SLO_US: Final = 30_000_000
MOST_GONE_S: Final = 2.0
MOST_BACK_S: Final = 20.0
SHARED: Final = Path("/dev/shm")


@dataclass
class Client:
    """One that asks again and again until its connection breaks; what it saw then."""

    answered: int = 0
    other: int = 0
    rest: bytes = b""

    async def run(self, port: int, message: bytes) -> None:
        """Ask."""
        connection = await wire.Wire.to(port)
        with suppress(OSError, wire.Broken):
            while True:
                (reply,) = await connection.ask(message)
                self.answered += reply.status == 200
                self.other += reply.status != 200
        self.rest = connection.replies.rest
        connection.close()


def router_killed(stage: Stage) -> list[Figure]:
    """Nothing of it stays, and another takes its place at once."""
    room = stage.room("router")
    before = set(SHARED.iterdir())
    asked = Sleepers(4, plain_profile(room, latency_ms=50), slo_ms=1000)
    with sleepers(room, asked) as server:
        workers = list(server.workers().values())
        clients, killed = asyncio.run(_broken(server))
        gone_s = until(lambda: not any(map(alive, workers)), MOST_BACK_S) + killed
    left = memories(server.pid)
    begun = time.monotonic()
    with sleepers(stage.room("router-again"), replace(asked, port=server.port)) as again:
        back_s = until(again.serves, MOST_BACK_S) + time.monotonic() - begun
        again.stop()
    return [
        Figure("router_answers", f"router killed under {CLIENTS} clients: answers until then", sum(c.answered for c in clients), ""),
        Figure("router_others", "... clients that saw another thing than a broken connection", sum(map(_astray, clients)), "", 0),
        Figure("router_workers_gone_s", f"... its {len(workers)} workers are gone after", gone_s, "s", MOST_GONE_S),
        Figure("router_memories", "... descriptors of its shared memory left", left, "", 0),
        Figure("router_shm", "... files left in /dev/shm", len(set(SHARED.iterdir()) - before), "", 0),
        Figure("router_back_s", "... started again on its port, it serves after", back_s, "s", MOST_BACK_S),
    ]


def _astray(client: Client) -> bool:
    return bool(client.other or client.rest)


async def _broken(server: Running) -> tuple[list[Client], float]:
    """Kill it while everybody waits; how long it took until all clients had noticed, in seconds."""
    clients = [Client() for _ in range(CLIENTS)]
    message = wire.binary(server.model, SLO_US)
    asking = [asyncio.create_task(client.run(server.port, message)) for client in clients]
    while sum(client.answered for client in clients) < 2 * CLIENTS:
        await asyncio.sleep(0.01)
    begun = time.monotonic()
    server.process.kill()
    await asyncio.gather(*asking)
    return clients, time.monotonic() - begun
