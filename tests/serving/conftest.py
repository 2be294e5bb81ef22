import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from superserve_cli import policies
from superserve_cli.core.nouns import ms_to_ns
from superserve_cli.engine import Engine
from superserve_cli.engine.recording import Recorder
from superserve_cli.profiles import Profile
from superserve_cli.serving.clock import VirtualClock
from superserve_cli.serving.desk import Desk
from superserve_cli.serving.http import Connection
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.model import Model
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.overhead import Overhead
from superserve_cli.serving.refusals import Refusal
from superserve_cli.serving.room import Room
from superserve_cli.serving.router import Router
from superserve_cli.serving.routes import Routes
from superserve_cli.serving.site import Site
from superserve_cli.serving.supernet_model import SuperNetModel
from superserve_cli.serving.waiting import Answer
from superserve_cli.serving.workers.sleep import CLASSES, SleepLink

BATCH_SIZES = (1, 2, 4)
LATENCIES_MS = {"small": (2.0, 3.0, 4.0), "large": (6.0, 8.0, 12.0)}
ACCURACIES = {"small": 0.8, "large": 0.9}
SHAPE = (2, 2, 2)


@dataclass
class Reply:
    """Remembers what it was told, and when."""

    clock: VirtualClock
    answer: Answer | None = None
    refusal: type[Refusal] | None = None
    told_ms: float | None = None

    def answered(self, answer: Answer) -> None:
        assert self.told_ms is None
        self.answer, self.told_ms = answer, self.clock.now_ns() / 1e6

    def refused(self, refusal: Refusal) -> None:
        assert self.told_ms is None
        self.refusal, self.told_ms = type(refusal), self.clock.now_ns() / 1e6


@dataclass
class Wire(asyncio.Transport):
    """What a connection has written."""

    sent: bytearray = field(default_factory=bytearray)
    closed: bool = False
    reading: bool = True

    def write(self, data: Any) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class World:
    """A server on virtual time: sleepers for workers, nothing underneath."""

    def __init__(
        self,
        workers: int = 1,
        policy: str = "max-accuracy",
        late: str = "drop",
        max_queue: int = 100,
        overhead_ms: float = 0,
        recorded: bool = False,
        tail_ms: float = 0,
        drift_guard: bool = False,
        factor: int = 1,
        room: Room | None = None,
        link: type[SleepLink] = SleepLink,
    ) -> None:
        self.profile = Profile(
            tuple(LATENCIES_MS),
            BATCH_SIZES,
            tuple(tuple(factor * ms_to_ns(ms) for ms in row) for row in LATENCIES_MS.values()),
            tuple(ACCURACIES.values()),
        )
        self.clock = VirtualClock()
        self.metrics = Metrics()
        self.ledger = Ledger(self.profile.subnets, self.profile.accuracies)
        asked = self.profile, policies.named(policy), late, workers
        self.engine = engine = Recorder(*asked, self.clock.now_ns) if recorded else Engine(*asked)
        self.links = [link(i, self.profile, self.clock, ms_to_ns(overhead_ms), ms_to_ns(tail_ms)) for i in range(workers)]
        self.room = room or Room()
        self.router = Router(engine, self.links, self.clock, self.metrics, self.ledger, max_queue, drift_guard, self.room)
        self.router.overhead = Overhead(0)
        for sleeper in self.links:
            sleeper.report_to(self.router)
        model = Model("net", "hash", SHAPE, CLASSES)
        self.model = SuperNetModel(model, self.profile, Objectives(ms_to_ns(20)), {"policy": policy}, self.router)
        self.desk = Desk(self.metrics)
        self.desk.models["net"] = self.model
        self.desk.most_body_bytes = 100_000
        self.site = Site.of(Routes(self.desk), self.desk.most_body_bytes, room=self.room)

    def ask(
        self, slo_ms: float = 20, rows: int = 1, value: float = 1.0, floor: float = 0.0, subnet: str | None = None, priority: int = 0
    ) -> tuple[int, Reply]:
        """Submit a request whose rows hold a value; its id and the reply that waits for it."""
        reply = Reply(self.clock)
        filled = np.full((rows, *SHAPE), value, np.float32)
        return self.router.submit(filled, ms_to_ns(slo_ms), floor, reply, subnet, priority), reply

    def advance(self, ms: float) -> None:
        self.clock.advance(ms_to_ns(ms))

    def statuses(self) -> list[str]:
        """What became of all requests, by id."""
        from superserve_cli.core.outcomes import STATUSES

        return [STATUSES[s] for s in self.ledger.outcomes(0).status]

    def connect(self) -> tuple[Callable[[bytes], None], Wire, Callable[[], None]]:
        """(send bytes to the server, what it sent back, hang up)."""
        connection, wire = Connection(self.site), Wire()
        connection.connection_made(wire)

        def send(data: bytes) -> None:
            while data:
                room = connection.get_buffer(-1)
                taken = min(len(room), len(data))
                room[:taken] = data[:taken]
                connection.buffer_updated(taken)
                data = data[taken:]

        return send, wire, lambda: connection.connection_lost(None)


@pytest.fixture(scope="session")
def world() -> Callable[..., World]:
    return World


@pytest.fixture(scope="session")
def wire() -> Callable[[], Wire]:
    return Wire
