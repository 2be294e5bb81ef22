"""What a router and a worker process tell each other before batches, over a socket that keeps message boundaries.

    router                                     process
    Order: what to make, with what         ->
                                           <-  Hello, or a Complaint
    Plan: what to serve                    ->
                                           <-  ready, or a Complaint
    jobs (turns.py), tensors in the ring   ->
                                           <-  reports (turns.py), logits in the ring

Whoever sees the other end closed knows that the other process is gone. What comes from there is checked before it is believed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, Final

from superserve_cli.core.nouns import Subnet
from superserve_cli.serving.model import DATATYPE, Hello, Model
from superserve_cli.serving.tensors import DTYPES

READY: Final = b"ready"
MOST_BYTES: Final = 128 * 1024
"""The longest message: a Plan with the subnets of a large front."""
MOST_SLOTS: Final = 8
PAGE: Final = 4096


class Malformed(Exception):
    """The other process sent something that it must not."""


@dataclass(frozen=True, slots=True)
class Order:
    """How to make a worker: `make` names a function `module:function` that returns (core.nouns.Worker, Model), `arguments` are its own."""

    make: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The message."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, message: bytes) -> "Order":
        """The order of a message."""
        return cls(**json.loads(message))


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a worker cannot be made: a SuperserveError of the other process."""

    message: str
    hint: str

    def encode(self) -> bytes:
        """The message."""
        return json.dumps({"complaint": asdict(self)}).encode()


def encode_hello(hello: Hello) -> bytes:
    """The message."""
    return json.dumps({"model": asdict(hello.model), "hardware": dict(hello.hardware), "slots": hello.slots}).encode()


def decode_hello(message: bytes) -> Hello | Complaint:
    """What a process answers to an order or to a plan; raises Malformed."""
    try:
        said = json.loads(message)
        if "complaint" in said:
            return Complaint(**{name: str(text) for name, text in said["complaint"].items()})
        model = said["model"]
        lists = {name: _whole(model[name]) for name in ("shape", "vocabulary")}
        hello = Hello(Model(**{**model, **lists}), dict(said["hardware"]), said["slots"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Malformed(f"no hello: {error!r}") from None
    if not _sane(hello):
        raise Malformed(f"a hello that cannot be: {hello}")
    return hello


def _whole(numbers: Any) -> tuple[int, ...]:
    if not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError(f"sizes {numbers!r}")
    return tuple(numbers)


def _sane(hello: Hello) -> bool:
    model = hello.model
    texts = isinstance(model.name, str) and isinstance(model.hash, str) and isinstance(model.task, str | None)
    numbers = type(model.classes) is int and model.classes > 0 and type(hello.slots) is int and 1 <= hello.slots <= MOST_SLOTS
    return texts and numbers and isinstance(model.seed, int | None) and isinstance(model.datatype, str) and model.datatype in DTYPES


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker shall be warm for; jobs name subnets by their place in it."""

    subnets: tuple[Subnet, ...]
    batch_sizes: tuple[int, ...]
    shape: tuple[int, ...]
    classes: int
    datatype: str = DATATYPE
    slots: int = 1

    def encode(self) -> bytes:
        """The message."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, message: bytes) -> "Plan":
        """The plan of a message."""
        said = json.loads(message)
        lists = {name: tuple(said[name]) for name in ("subnets", "batch_sizes", "shape")}
        return cls(**{**said, **lists})

    @property
    def largest(self) -> int:
        """The most rows of a batch."""
        return max(self.batch_sizes)

    @property
    def input_bytes(self) -> int:
        """How much memory the rows of one batch take."""
        return _pages(DTYPES[self.datatype].itemsize * self.largest * prod(self.shape))

    @property
    def slot_bytes(self) -> int:
        """How much memory one batch and its answer take, in whole pages."""
        return self.input_bytes + _pages(DTYPES[DATATYPE].itemsize * self.largest * self.classes)


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
