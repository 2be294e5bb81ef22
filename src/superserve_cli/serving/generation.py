"""One generation of a server: a SuperNet resident in its workers, warm for a profile, and the router that leads them."""

import asyncio
import logging
from typing import Any, Final

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.engine import Engine
from superserve_cli.engine.recording import Recorder
from superserve_cli.errors import BadOption
from superserve_cli.serving import described
from superserve_cli.serving.clock import Clock
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.logs import Event
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.model import Hello, Model
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.room import Room
from superserve_cli.serving.router import Router
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.supernet_model import SuperNetModel
from superserve_cli.serving.workers.messages import Plan
from superserve_cli.serving.workers.process import ProcessWorker

log = logging.getLogger("superserve.server")

STEP_S: Final = 0.01
SAME: Final = ("name", "shape", "classes", "datatype", "vocabulary")
"""What clients rely on, whatever SuperNet answers them."""
OF_WORKERS: Final = ("orders", "weights", "hung_ns", "drift_guard")
"""What a generation keeps as long as it lives."""


class Generation:
    """Workers from their start to their end, in this order: introduced, warmed, leading, finished, ended."""

    def __init__(self, settings: Settings, clock: Clock, metrics: Metrics, ledger: Ledger | None, room: Room) -> None:
        self.settings = settings
        self.engine = engine(settings, clock)
        self._clock = clock
        self._metrics = metrics
        self._ledger = ledger
        self._room = room
        self._plan: Plan | None = None
        self.workers: list[ProcessWorker] = []
        self.hellos: list[Hello] = []
        self.router: Router | None = None

    @property
    def model(self) -> Model:
        """What the workers have introduced themselves with."""
        return self.hellos[0].model

    @property
    def pending(self) -> int:
        """Requests that have no answer yet."""
        return self.router.pending if self.router is not None else 0

    @property
    def oldest_s(self) -> float:
        """How long the one that has waited longest for a worker has done so."""
        return self.router.oldest_s if self.router is not None else 0.0

    @property
    def pids(self) -> list[int | None]:
        """The process of each worker that has one now."""
        return [worker.pid for worker in self.workers]

    @property
    def most_body_bytes(self) -> int:
        """How long a request may be."""
        return self.model.most_body_bytes(self.settings.profile.batch_sizes[-1])

    async def introduced(self) -> None:
        """Start the workers, and wait until they have loaded; raises what hinders them."""
        self.workers = [ProcessWorker(i, order, self.settings.hung_ns) for i, order in enumerate(self.settings.orders)]
        self.hellos = [await worker.introduced() for worker in self.workers]

    async def warmed(self) -> None:
        """Have the workers warm up for what is to be served; raises what hinders them."""
        profile, model = self.settings.profile, self.model
        self._plan = plan = Plan(profile.subnets, profile.batch_sizes, model.shape, model.classes, model.datatype)
        await asyncio.gather(*(worker.warmed(plan) for worker in self.workers))

    def lead(self) -> Router:
        """The router of the workers, which are idle from now on."""
        settings = self.settings
        self._metrics.workers.scale.clear()
        asked = self.engine, self.workers, self._clock, self._metrics, self._ledger, settings.max_queue, settings.drift_guard
        self.router = Router(*asked, self._room)
        for worker in self.workers:
            worker.report_to(self.router)
        return self.router

    def suits(self, settings: Settings) -> bool:
        """Whether the workers are warm for other settings too."""
        have, want = self.settings, settings
        if self._plan is None or any(getattr(have, name) != getattr(want, name) for name in OF_WORKERS):
            return False
        return _within(want.profile.subnets, self._plan.subnets) and _within(want.profile.batch_sizes, self._plan.batch_sizes)

    def replan(self, other: "Generation") -> None:
        """Decide from now on as another would that has no workers: these are warm for it."""
        assert self.router is not None
        self.router.replan(other.engine, other.settings.max_queue)
        self.settings = other.settings

    def check_same(self, model: Model) -> None:
        """Raise BadOption where clients of one model would not understand the other."""
        for name in SAME:
            have, want = getattr(self.model, name), getattr(model, name)
            if have != want:
                raise BadOption(
                    f"what is to be served now has the {name} {want}, and clients rely on {have}",
                    hint="another model needs another server",
                )

    def tell(self, model: SuperNetModel) -> None:
        """Have a model's clients asked and answered by this generation."""
        settings = self.settings
        model.model = self.model
        model.profile = settings.profile
        model.objectives = Objectives(settings.slo_ns)
        model.described = self.described()
        model.router = self.router

    def described(self) -> dict[str, Any]:
        """What the server says of itself in its model's metadata."""
        settings = self.settings
        return described.parameters(self.hellos[0], settings.profile, settings.policy, settings.late, len(settings.orders), settings.slo_ns)

    async def closed(self, at_once: asyncio.Event) -> None:
        """Take no more requests, and wait like `finished`."""
        if self.router is not None:
            self.router.closed = True
        await self.finished(at_once)

    async def finished(self, at_once: asyncio.Event) -> None:
        """Wait for the answers of all who are waited for; after too long, or `at_once`, they are told that nobody will come."""
        router = self.router
        if router is None:
            return
        until_ns = self._clock.now_ns() + round(self.settings.longest_drain_s * NS_PER_S)
        while router.pending and self._clock.now_ns() < until_ns and not at_once.is_set():
            await asyncio.sleep(STEP_S)
        if router.pending:
            log.warning(Event("gave_up", pending=router.pending))
            for worker in self.workers:
                worker.leave()
            for i in range(len(self.workers)):
                router.lost(i, "stopping")
            router.fail_all()

    async def ended(self) -> None:
        """End the workers, while others go on."""
        await asyncio.gather(*(worker.ended() for worker in self.workers))

    def stop(self) -> None:
        """End the workers, and wait for that."""
        for worker in self.workers:
            worker.leave()
        for worker in self.workers:
            worker.stop()


def engine(settings: Settings, clock: Clock) -> Engine:
    """The engine that some settings ask for; raises what is wrong with policy or late rule."""
    asked = settings.profile, settings.policy, settings.late, len(settings.orders)
    return Recorder(*asked, clock.now_ns) if settings.events else Engine(*asked)


def _within(wanted: tuple[Any, ...], there: tuple[Any, ...]) -> bool:
    return set(wanted) <= set(there)
