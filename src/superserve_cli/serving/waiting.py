"""A request between its arrival and its answer, and who waits for it."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Request, Subnet
from superserve_cli.engine import Dispatch
from superserve_cli.serving.refusals import Refusal


class Answer(NamedTuple):
    """What a worker made of a request's rows, and where the time went."""

    logits: NDArray[np.float32]
    subnet: Subnet
    accuracy: float | None
    batch_size: int
    queue_ns: int
    compute_ns: int
    met: bool


class Reply(Protocol):
    """Who waits for a request: exactly one of the two is called, once."""

    def answered(self, answer: Answer) -> None:
        """A worker has run it."""
        ...

    def refused(self, refusal: Refusal) -> None:
        """Nobody will: it was dropped, or no worker is left, or too many were lost with it."""
        ...


class Waiting:
    """A request that has no answer yet; `losses` counts the workers that were lost while they ran it, `gone` is a client that left."""

    __slots__ = ("gone", "losses", "reply", "request", "rows")

    def __init__(self, request: Request, rows: NDArray[Any], reply: Reply) -> None:
        self.request = request
        self.rows = rows
        self.reply = reply
        self.gone = False
        self.losses = 0


class Running(NamedTuple):
    """A batch that a worker has: handed over from `start_ns` on, which took `input_ns`."""

    dispatch: Dispatch
    waiting: list[Waiting]
    start_ns: int
    input_ns: int
