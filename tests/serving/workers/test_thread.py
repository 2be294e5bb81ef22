import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet, ms_to_ns
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.engine import Engine
from superserve_cli.policies import named
from superserve_cli.profiles import Profile
from superserve_cli.serving.clock import LoopClock
from superserve_cli.serving.ledger import Ledger
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.refusals import Failed, Refusal
from superserve_cli.serving.router import Router
from superserve_cli.serving.waiting import Answer
from superserve_cli.serving.workers.sleep import SleepWorker
from superserve_cli.serving.workers.thread import ThreadWorker

PROFILE = Profile(("small", "large"), (1, 2, 4), ((1_000_000,) * 3, (3_000_000,) * 3), (0.8, 0.9))
POISON = 13


class Brittle(SleepWorker):
    """A sleeper that breaks at one number."""

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        if (batch == POISON).any():
            raise ArithmeticError(POISON)
        return super().infer(subnet, batch)


class Told:
    """A reply that can be waited for."""

    def __init__(self) -> None:
        self.told: asyncio.Future[Answer | Refusal] = asyncio.get_running_loop().create_future()

    def answered(self, answer: Answer) -> None:
        self.told.set_result(answer)

    def refused(self, refusal: Refusal) -> None:
        self.told.set_result(refusal)


def with_router(workers: int, talk: Callable[[Router], Awaitable[None]]) -> list[str]:
    """What became of the requests, by id."""

    async def run() -> list[str]:
        ledger = Ledger(PROFILE.subnets, PROFILE.accuracies)
        links = [ThreadWorker(i, Brittle(PROFILE)) for i in range(workers)]
        engine = Engine(PROFILE, named("slackfit"), "shed", workers)
        router = Router(engine, links, LoopClock(asyncio.get_running_loop()), Metrics(), ledger)
        for link in links:
            link.report_to(router)
        try:
            await asyncio.wait_for(talk(router), 60)
        finally:
            for link in links:
                link.stop()
        return [STATUSES[status] for status in ledger.outcomes(0).status]

    return asyncio.run(run())


def ask(router: Router, values: Sequence[float], slo_ms: float = 30_000) -> list[Told]:
    replies = [Told() for _ in values]
    for value, reply in zip(values, replies, strict=True):
        router.submit(np.full((1, 3), value, np.float32), ms_to_ns(slo_ms), 0.0, reply)
    return replies


def test_each_of_many_requests_gets_its_own_answer() -> None:
    async def talk(router: Router) -> None:
        told = [await reply.told for reply in ask(router, range(20, 120))]
        sums = [answer.logits[0, 0] for answer in told if isinstance(answer, Answer)]
        assert sums == [3.0 * value for value in range(20, 120)]

    assert with_router(2, talk) == ["met"] * 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker-")]


@pytest.mark.parametrize("workers", [2, 3])
def test_a_batch_that_raises_fails_after_two_tries_and_nobody_else_does(workers: int) -> None:
    async def talk(router: Router) -> None:
        (poison,) = ask(router, [POISON])
        others = ask(router, range(20, 60))
        assert isinstance(await poison.told, Failed)
        assert all([isinstance(await reply.told, Answer) for reply in others])
        assert router.live == workers

    assert sorted(with_router(workers, talk)) == ["failed"] + ["met"] * 40
