"""A recorded live run replays to the same decisions: in virtual time at random, and once by the machine's own clock."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.nouns import ms_to_ns
from superserve_cli.core.outcomes import MET, STATUSES
from superserve_cli.engine.recording import Recorder, first_difference
from superserve_cli.policies import named
from superserve_cli.serving.clock import LoopClock
from superserve_cli.serving.ids import arrival_of
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.refusals import Busy, Invalid, Refusal
from superserve_cli.serving.router import Router
from superserve_cli.serving.workers.sleep import SleepWorker
from superserve_cli.serving.workers.thread import ThreadWorker

World = Callable[..., Any]


def lives(server: Any, seed: int, steps: int) -> None:
    """Clients come, with floors, pins and rows, and go; workers die and return; time passes."""
    chance = random.Random(seed)
    dead: set[int] = set()
    for id in range(steps):
        server.advance(chance.choice([0, 0, 0.5, 3, 8]))
        with suppress(Busy, Invalid):
            server.ask(
                slo_ms=chance.uniform(1, 40),
                rows=chance.randint(1, 4),
                floor=chance.choice([0.0, 0.0, 0.85]),
                subnet=chance.choice([None, None, "small", "large"]),
                priority=chance.choice([0, 0, 1, 2]),
            )
        if chance.random() < 0.2:
            server.router.cancel(chance.randint(0, id))
        if chance.random() < 0.1:
            dead ^= {worker := chance.randrange(len(server.links))}
            server.links[worker].die() if worker in dead else server.links[worker].revive()
    server.advance(1000)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.sampled_from(["slackfit", "max-batch", "max-accuracy", "price"]),
    st.sampled_from(["drop", "shed", "serve"]),
    st.floats(0, 3),
    st.integers(0, 2**32),
)
def test_a_recorded_run_of_the_router_replays_to_the_same_decisions(
    world: World, workers: int, policy: str, late: str, overhead_ms: float, seed: int
) -> None:
    server = world(workers=workers, policy=policy, late=late, overhead_ms=overhead_ms, max_queue=8, recorded=True)
    lives(server, seed, steps=40)
    kept = server.engine.recording()
    assert first_difference(kept, kept.engine(server.profile, named(policy))) is None


def test_what_is_recorded_is_what_became_of_the_requests(world: World) -> None:
    server = world(workers=2, policy="slackfit", recorded=True)
    lives(server, seed=1, steps=300)
    answers = server.engine.recording().decisions()
    statuses = dict(zip(server.ledger.outcomes(0).id.tolist(), server.statuses(), strict=True))
    dropped = [arrival_of(a.requests[0]) for a in answers if a.answer in ("drop", "expire")]
    assert dropped
    assert {statuses[id] for id in dropped} == {"dropped"}
    assert [(a.subnet, a.size) for a in answers if a.worker == 0] == server.links[0].started
    assert [(a.subnet, a.size) for a in answers if a.worker == 1] == server.links[1].started


class Quiet:
    """Nobody who waits for an answer."""

    def answered(self, answer: object) -> None:
        pass

    def refused(self, refusal: Refusal) -> None:
        pass


async def bursts(router: Router, loop: asyncio.AbstractEventLoop) -> None:
    """Ten bursts, some of them larger than two workers can answer in time."""
    chance = random.Random(0)
    for _ in range(10):
        for _ in range(chance.choice([3, 10, 60])):
            router.submit(np.zeros((chance.randint(1, 2), 2), np.float32), ms_to_ns(chance.choice([6, 12, 40])), 0.0, Quiet())
            await asyncio.sleep(chance.choice([0, 0, 0.0005]))
        await asyncio.sleep(0.01)
    until = loop.time() + 10
    while router.pending and loop.time() < until:
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("late", ["drop", "shed", "serve"])
def test_a_run_by_the_clock_of_the_machine_replays_to_the_same_decisions(world: World, late: str) -> None:
    profile, policy = world().profile, named("slackfit")
    ledger = Ledger(profile.subnets, profile.accuracies)

    async def run() -> Recorder:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        engine = Recorder(profile, policy, late, 2, clock.now_ns)
        links = [ThreadWorker(worker, SleepWorker(profile)) for worker in range(2)]
        router = Router(engine, links, clock, Metrics(), ledger)
        for link in links:
            link.report_to(router)
        await bursts(router, loop)
        for link in links:
            link.stop()
        return engine

    kept = asyncio.run(run()).recording()
    statuses = ledger.outcomes(0).status
    assert 0 < (statuses == MET).mean() < 1, [STATUSES[status] for status in set(statuses.tolist())]
    assert len({answer.size for answer in kept.decisions()}) > 2
    assert first_difference(kept, kept.engine(profile, policy)) is None
