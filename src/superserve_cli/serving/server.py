"""A server from its first worker to its last answer."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from prometheus_client import ProcessCollector

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.engine.recording import Recorder, Recording
from superserve_cli.errors import BadOption
from superserve_cli.serving.clock import LoopClock
from superserve_cli.serving.described import mismatches
from superserve_cli.serving.desk import MOST_BODY_BYTES, Desk, Done
from superserve_cli.serving.doors import Doors
from superserve_cli.serving.fixtures import fixtures
from superserve_cli.serving.generation import Generation
from superserve_cli.serving.keys import is_loopback
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.logs import Event
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.model import Hello
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.refusals import Unsupported
from superserve_cli.serving.room import Room
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.supernet_model import SuperNetModel
from superserve_cli.serving.swapping import REPLACED, REPLANNED, Swapper
from superserve_cli.serving.vitals import Vital, Vitals

log = logging.getLogger("superserve.server")

ENDS: Final = (signal.SIGTERM, signal.SIGINT)
Reread = Callable[[], Settings]
"""The settings as they stand on disk now; raises the SuperserveError that says what is wrong with them."""


class Server:
    """Two doors, and a generation of workers behind them; a swap puts another generation in its place."""

    def __init__(self, settings: Settings, reread: Reread | None = None) -> None:
        self._settings = settings
        self._reread = reread
        self._clock = LoopClock(asyncio.get_running_loop())
        self._metrics = Metrics()
        self._ledger = Ledger(settings.profile.subnets, settings.profile.accuracies) if settings.record else None
        self._room = Room(settings.max_queue_mb * 2**20)
        self._current = Generation(settings, self._clock, self._metrics, self._ledger, self._room)
        self._generations = [self._current]
        self._desk = Desk(self._metrics, local=is_loopback(settings.host))
        self._doors = Doors(self._desk, self._room, settings)
        self._model: SuperNetModel | None = None
        self._origin_ns = self._clock.now_ns()
        self._at_once = asyncio.Event()
        self._swapper = Swapper(self._swap)
        ProcessCollector(registry=self._metrics.registry)
        self._metrics.registry.register(Vitals(self._vital))

    # its beginning

    async def listen(self) -> None:
        """Take the ports; health is answered from now on. Raises Unreachable."""
        await self._doors.listen()
        self._sample()

    def _sample(self) -> None:
        """Have the last second in the history, each second."""
        self._desk.history.sample(self._clock.now_ns(), time.time())
        self._clock.call_later(NS_PER_S, self._sample)

    async def start(self) -> None:
        """Start the workers, have them warm up, and serve; raises what hinders them."""
        async with self._swapper.turn:  # a swap that is asked for meanwhile comes after
            await self._start()

    async def _start(self) -> None:
        settings, first = self._settings, self._current
        log.info(Event("loading", workers=len(settings.orders), subnets=len(settings.profile.subnets), url=self.url))
        await first.introduced()
        self._model = SuperNetModel(first.model, settings.profile, Objectives(settings.slo_ns), first.described(), swap=self._load)
        self._desk.models.update({first.model.name: self._model, **(fixtures() if settings.fixtures else {})})
        await first.warmed()
        self._origin_ns = self._clock.now_ns()
        self._take_over(first)
        gc.freeze()  # what is there now stays: a collection during a burst need not look at it

    def _take_over(self, generation: Generation) -> None:
        assert self._model is not None
        router, before = generation.lead(), self._current.router
        if before is not None:
            router.statistics = before.statistics  # they count since the start of the server
        self._current = generation
        self._metrics.depth = lambda: sum(one.engine.depth for one in self._generations)
        self._metrics.pending = lambda: self.pending
        self._metrics.oldest_s = lambda: max(one.oldest_s for one in self._generations)
        self._desk.most_body_bytes = self._doors.site.most_body_bytes = min(MOST_BODY_BYTES, self._room.most, generation.most_body_bytes)
        generation.tell(self._model)
        for reason in mismatches(generation.settings.profile, generation.hellos[0]):
            log.warning(Event("profile_mismatch", reason=reason))

    # what changes while it runs

    def swap(self) -> None:
        """Serve what stands on disk now in place of what is served, without losing a request; the log says how it went."""
        self._swapper.ask()

    def _load(self, parameters: Mapping[str, Any], done: Done) -> None:
        """A client's way to say so; raises Unsupported."""
        if parameters:
            raise Unsupported(f"a model is loaded as the server was told to, without parameters ({', '.join(parameters)})")
        if self._model is not None and not self._model.loaded and self._kept:
            done(None)
        else:
            self._swapper.ask(done)

    async def _swap(self, serves: Callable[[str], None]) -> None:
        fresh = await asyncio.to_thread(self._read)
        old = self._current
        if old.suits(fresh.settings):
            assert self._model is not None
            old.replan(fresh)
            old.tell(self._model)
            self._keep(fresh.settings)
            serves(REPLANNED)
            return
        await self._prepare(fresh)
        self._take_over(fresh)
        self._keep(fresh.settings)
        serves(REPLACED)
        await old.finished(self._at_once)
        await old.ended()
        self._generations.remove(old)
        self._metrics.workers.keep(len(fresh.workers))

    @property
    def _kept(self) -> bool:
        """Whether what happens goes into a file, which has room for one policy, profile and SuperNet."""
        return self._settings.record or self._settings.events

    def _read(self) -> Generation:
        """A generation of what stands on disk; raises what is wrong with it."""
        if self._reread is None:
            raise BadOption("there is nothing that could be loaded anew", hint="start another server")
        if self._kept:
            raise BadOption("a run that is kept (--out, --record) is served to its end as it began", hint="serve without them to swap")
        settings, others = self._reread().beside(self._settings)
        if others:
            log.warning(Event("restart_needed", settings=",".join(others)))
        if settings.tls is not None:
            settings.tls.context()
        return Generation(settings, self._clock, self._metrics, None, self._room)

    async def _prepare(self, fresh: Generation) -> None:
        """Have a generation's workers ready, beside those that serve; if they will not be, they end."""
        self._generations.append(fresh)
        try:
            await fresh.introduced()
            self._current.check_same(fresh.model)
            await fresh.warmed()
        except Exception:
            self._generations.remove(fresh)
            await fresh.ended()
            raise

    def _keep(self, settings: Settings) -> None:
        self._settings = settings
        self._doors.keep(settings)

    # its end

    def hurry(self) -> None:
        """Wait for nobody any more."""
        self._at_once.set()

    async def drain(self) -> None:
        """Take no more requests, and answer those that wait; those that a worker keeps for too long are told that nobody will come."""
        log.info(Event("stopping", pending=self.pending))
        self._swapper.cancel()
        self._doors.drain(self._settings.longest_drain_s)
        await asyncio.gather(*(generation.closed(self._at_once) for generation in self._generations))
        await self._doors.emptied(self._at_once.is_set)

    def stop(self) -> None:
        """End the workers."""
        self._doors.close()
        if self._at_once.is_set():
            for pid in self.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for generation in self._generations:
            generation.stop()

    async def hang_up(self) -> None:
        """End what gRPC calls are left."""
        await self._doors.hang_up()

    # what it says of itself

    def outcomes(self) -> Outcomes | None:
        """What became of every request, if that was to be recorded."""
        return self._ledger.outcomes(self._origin_ns) if self._ledger is not None else None

    def recording(self) -> Recording | None:
        """What the engine was told and what it decided, if that was to be recorded."""
        engine = self._current.engine
        return engine.recording() if isinstance(engine, Recorder) else None

    @property
    def url(self) -> str:
        """Where HTTP is."""
        return self._doors.url

    @property
    def grpc_url(self) -> str:
        """Where gRPC is; empty where it is not."""
        return self._doors.grpc_url

    @property
    def hellos(self) -> list[Hello]:
        """What the workers say of themselves, once they have loaded."""
        return self._current.hellos

    @property
    def pending(self) -> int:
        """Requests that have no answer yet."""
        return sum(generation.pending for generation in self._generations)

    @property
    def pids(self) -> list[int]:
        """The worker processes that run now."""
        return [pid for generation in self._generations for pid in generation.pids if pid is not None]

    @property
    def described(self) -> dict[str, Any]:
        """What the server says of itself in its model's metadata; empty before the workers have said who they are."""
        return dict(self._model.described) if self._model is not None else {}

    def _vital(self) -> Vital:
        settings, model = self._settings, self._model
        known = {"supernet": model.name, "hash": model.model.hash} if model is not None else {}
        profile = str(settings.profile.metadata.get("hash") or "")
        return Vital(
            connections=len(self._doors.site.connections),
            oldest_s=self._metrics.oldest_s(),
            pending_bytes=self._room.held,
            swaps=self._swapper.counts,
            pids=self._current.pids,
            certificate_expires_s=self._doors.certificate_expires_s,
            serving={**known, "policy": settings.policy.name, "late": settings.late, "profile": profile},
        )


async def run(settings: Settings, opened: Callable[[Server], None], reread: Reread | None = None) -> Server:
    """Serve until SIGTERM or SIGINT, and answer what is queued then; a second signal ends at once, SIGHUP swaps.

    `opened` is called once requests are welcome, `reread` by every swap.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    server = Server(settings, reread)

    def end() -> None:
        if stop.is_set():
            server.hurry()
        stop.set()

    for number in ENDS:
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, server.swap)
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
