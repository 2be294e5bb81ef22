"""A server from its first worker to its last answer."""

import asyncio
import errno
import gc
import logging
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.engine import Engine
from superserve_cli.engine.recording import Recorder, Recording
from superserve_cli.errors import Unreachable
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.serving import described as describing
from superserve_cli.serving.clock import Clock, LoopClock
from superserve_cli.serving.desk import MOST_BODY_BYTES, Desk
from superserve_cli.serving.fixtures import fixtures
from superserve_cli.serving.http import MOST_CONNECTIONS, Site
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.model import Hello
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.room import Room
from superserve_cli.serving.router import Router
from superserve_cli.serving.routes import Routes
from superserve_cli.serving.rpc.server import Rpc
from superserve_cli.serving.supernet_model import SuperNetModel
from superserve_cli.serving.workers.messages import Order, Plan
from superserve_cli.serving.workers.process import ProcessWorker

log = logging.getLogger("superserve.server")

LONGEST_DRAIN_S: Final = 30.0
DRAIN_STEP_S: Final = 0.01
FLUSH_S: Final = 1.0
BACKLOG: Final = 4096
SLOW_STEP_S: Final = 1.0
OTHER_FILES: Final = 256
"""Open files that are no connections of clients."""


@dataclass(frozen=True)
class Settings:
    """What a server is to do: one worker per order; `profile` holds the served subnets only.

    `grpc_port` None: HTTP alone. It may `record` what becomes of each request, and all `events` of its engine with the decisions, and
    have the `fixtures` beside. A worker that keeps a batch for longer than `hung_ns` is ended (by default ten times what is planned,
    and a second); `drift_guard` plans slow ones as slow.
    """

    orders: Sequence[Order]
    profile: Profile
    policy: Policy
    late: str
    slo_ns: int
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    max_queue: int = 10_000
    max_queue_mb: int = 1024
    record: bool = False
    events: bool = False
    longest_drain_s: float = LONGEST_DRAIN_S
    fixtures: bool = False
    hung_ns: int | None = None
    drift_guard: bool = True


class Server:
    """A listening socket, a router and its worker processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = LoopClock(asyncio.get_running_loop())
        self._engine = _engine(settings, self._clock)
        self._metrics = Metrics()
        self._desk = Desk(self._metrics, local=_is_loopback(settings.host))
        self._room = Room(settings.max_queue_mb * 2**20)
        self._site = Site.of(Routes(self._desk), MOST_BODY_BYTES, room=self._room)
        self._ledger = Ledger(settings.profile.subnets, settings.profile.accuracies) if settings.record else None
        self._listening: asyncio.Server | None = None
        most_calls = settings.max_queue + MOST_CONNECTIONS
        self._rpc = Rpc(self._desk, MOST_CONNECTIONS, most_calls) if settings.grpc_port is not None else None
        self._workers: list[ProcessWorker] = []
        self._model: SuperNetModel | None = None
        self._origin_ns = self._clock.now_ns()
        self.hellos: list[Hello] = []
        self.url = self.grpc_address = ""

    async def listen(self) -> None:
        """Take the port; health is answered from now on. Raises Unreachable."""
        settings = self._settings
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                self._site.connect, settings.host, settings.port, backlog=BACKLOG
            )
        except OSError as error:
            # asyncio puts a sentence with the address before the system's own
            why = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).rpartition(": ")[2]
            where, hint = f"{settings.host}:{settings.port}", "choose another --host or --port (port 0 picks a free one)"
            raise Unreachable(f"cannot listen on {where}: {why}", hint=hint) from error
        _allow_files((1 if self._rpc is None else 2) * MOST_CONNECTIONS + OTHER_FILES)
        self._let_go_of_slow()
        port = self._listening.sockets[0].getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"http://{host}:{port}"
        if self._rpc is not None and settings.grpc_port is not None:
            self.grpc_address = f"{host}:{await self._rpc.listen(settings.host, settings.grpc_port)}"

    def _let_go_of_slow(self) -> None:
        self._site.let_go_of_slow(time.monotonic())
        asyncio.get_running_loop().call_later(SLOW_STEP_S, self._let_go_of_slow)

    async def start(self) -> None:
        """Start the workers, have them warm up, and serve; raises what hinders them."""
        settings, profile = self._settings, self._settings.profile
        log.info("event=loading workers=%d subnets=%d url=%s", len(settings.orders), len(profile.subnets), self.url)
        self._workers = [ProcessWorker(i, order, settings.hung_ns) for i, order in enumerate(settings.orders)]
        self.hellos = [await worker.introduced() for worker in self._workers]
        model = self.hellos[0].model
        most_bytes = min(MOST_BODY_BYTES, self._room.most, model.most_body_bytes(profile.batch_sizes[-1]))
        self._desk.most_body_bytes = self._site.most_body_bytes = most_bytes
        plan = Plan(profile.subnets, profile.batch_sizes, model.shape, model.classes, model.datatype)
        described = describing.parameters(self.hellos[0], profile, settings.policy, settings.late, len(settings.orders), settings.slo_ns)
        self._model = SuperNetModel(model, profile, Objectives(settings.slo_ns), described)
        self._desk.models.update({model.name: self._model, **(fixtures() if settings.fixtures else {})})
        await asyncio.gather(*(worker.warmed(plan) for worker in self._workers))
        router = Router(
            self._engine, self._workers, self._clock, self._metrics, self._ledger, settings.max_queue, settings.drift_guard, self._room
        )
        self._origin_ns = self._clock.now_ns()
        for worker in self._workers:
            worker.report_to(router)
        gc.freeze()  # what is there now stays: a collection during a burst need not look at it
        self._model.router = router

    async def drain(self) -> None:
        """Take no more requests, and answer those that wait; those that a worker keeps for too long are told that nobody will come."""
        router = self._model.router if self._model is not None else None
        log.info("event=stopping pending=%d", router.pending if router is not None else 0)
        if self._listening is not None:
            self._listening.close()
        self._site.drain()
        if self._rpc is not None:
            self._rpc.drain(self._settings.longest_drain_s + FLUSH_S)
        if router is None:
            return
        router.closed = True
        until_ns = self._clock.now_ns() + round(self._settings.longest_drain_s * NS_PER_S)
        while router.pending and self._clock.now_ns() < until_ns:
            await asyncio.sleep(DRAIN_STEP_S)
        if router.pending:
            for worker in self._workers:
                worker.leave()
            for i in range(len(self._workers)):
                router.lost(i, "stopping")
        if self._rpc is not None:
            await self._rpc.drained(FLUSH_S)
        until_ns = self._clock.now_ns() + round(FLUSH_S * NS_PER_S)
        while self._site.connections and self._clock.now_ns() < until_ns:
            await asyncio.sleep(DRAIN_STEP_S)

    async def hang_up(self) -> None:
        """End what gRPC calls are left."""
        if self._rpc is not None:
            await self._rpc.stop()

    def stop(self) -> None:
        """End the workers."""
        if self._listening is not None:
            self._listening.close()
        for worker in self._workers:
            worker.leave()
        for worker in self._workers:
            worker.stop()

    def outcomes(self) -> Outcomes | None:
        """What became of every request, if that was to be recorded."""
        return self._ledger.outcomes(self._origin_ns) if self._ledger is not None else None

    def recording(self) -> Recording | None:
        """What the engine was told and what it decided, if that was to be recorded."""
        return self._engine.recording() if isinstance(self._engine, Recorder) else None

    @property
    def pids(self) -> list[int]:
        """The worker processes that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def described(self) -> dict[str, Any]:
        """What the server says of itself in its model's metadata; empty before the workers have said who they are."""
        return dict(self._model.described) if self._model is not None else {}


def _engine(settings: Settings, clock: Clock) -> Engine:
    asked = settings.profile, settings.policy, settings.late, len(settings.orders)
    return Recorder(*asked, clock.now_ns) if settings.events else Engine(*asked)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: others than this one may mean anything
        return host == "localhost"


def _allow_files(wanted: int) -> None:
    """Let this process open as many files, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def run(settings: Settings, opened: Callable[[Server], None]) -> Server:
    """Serve until SIGTERM or SIGINT, and answer what is queued then; `opened` is called once requests are welcome."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(settings)
    try:
        await server.listen()
        if await _before(stop, server.start()):
            opened(server)
            await stop.wait()
        await server.drain()
    finally:
        server.stop()
        await server.hang_up()
    return server


async def _before(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Whether some work was done before it was to stop; if not, it is cancelled."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    return False
