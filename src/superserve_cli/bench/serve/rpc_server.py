"""The gRPC door of a server whose model answers at once: `python rpc_server.py NUMBERS`, those of a row; it prints its port.

Beside it stands what the library costs without us: a call that answers a hundred bytes as soon as the event loop comes round.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any, Final

import grpc
import numpy as np
import uvloop
from numpy.typing import NDArray

from superserve_cli import policies
from superserve_cli.core.nouns import NS_PER_S, Subnet
from superserve_cli.engine import Engine
from superserve_cli.profiles import Profile
from superserve_cli.serving.clock import LoopClock
from superserve_cli.serving.desk import Desk
from superserve_cli.serving.links import Listener
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.model import Model
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.router import Router
from superserve_cli.serving.rpc.server import Rpc
from superserve_cli.serving.supernet_model import SuperNetModel

CLASSES: Final = 10
COMPUTE_NS: Final = 1000
CALLS: Final = 1000
BATCH_SIZES: Final = (1, 2, 4, 8, 16)
ANSWER: Final = bytes(100)


class NoWork:
    """A link to no worker."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None

    def report_to(self, listener: Listener) -> None:
        """It is warm at once."""
        self._listener = listener
        listener.restored(0)

    def start(self, subnet: Subnet, batch: Sequence[NDArray[Any]], plan_ns: int) -> None:
        """Be done when the event loop comes round."""
        assert self._listener is not None
        self._loop.call_soon(self._listener.done, 0, np.zeros((sum(map(len, batch)), CLASSES), np.float32), COMPUTE_NS)

    def look(self) -> None:
        """It says nothing before the event loop comes round."""


def desk(numbers: int) -> Desk:
    """One with a model whose rows have so many numbers."""
    profile = Profile(("only",), BATCH_SIZES, ((COMPUTE_NS,) * len(BATCH_SIZES),), (0.9,))
    metrics, link = Metrics(), NoWork()
    router = Router(Engine(profile, policies.named("slackfit"), "shed", 1), [link], LoopClock(asyncio.get_running_loop()), metrics)
    link.report_to(router)
    found = Desk(metrics)
    found.models["noop"] = SuperNetModel(Model("noop", "none", (numbers,), CLASSES), profile, Objectives(60 * NS_PER_S), {}, router)
    return found


class WithBare(Rpc):
    """A server that also has the call which costs what the library costs."""

    def add_bare(self) -> None:
        """At /bare.Bare/Ask."""
        handlers = {"Ask": grpc.unary_unary_rpc_method_handler(_bare)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Bare", handlers),))


async def _bare(body: bytes, context: object) -> bytes:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    loop.call_soon(answer.set_result, ANSWER)
    return await answer


async def main(numbers: int) -> None:
    """Serve on a free port until the process is ended."""
    rpc = WithBare(desk(numbers), CALLS, CALLS)
    rpc.add_bare()
    sys.stdout.write(f"{await rpc.listen('127.0.0.1', 0)}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
