"""What a router and a worker process tell each other, over a socket that keeps message boundaries, and the memory they share.

    router                                     process
    Order: what to make, with what         ->
                                           <-  Hello, or a Complaint
    Plan: what to serve                    ->
                                           <-  ready, or a Complaint
    JOB: subnet, rows (tensors in the area) ->
                                           <-  DONE: when it began and how long it took (logits in the area)

Whoever sees the other end closed knows that the other process is gone.
"""

import json
import mmap
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.serving.model import DATATYPE, Hello, Model
from superserve_cli.serving.tensors import DTYPES

JOB: Final = struct.Struct("<II")
DONE: Final = struct.Struct("<qq")
READY: Final = b"ready"
MOST_BYTES: Final = 128 * 1024
"""The longest message: a Plan with the subnets of a large front."""


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
    return json.dumps({"model": asdict(hello.model), "hardware": dict(hello.hardware)}).encode()


def decode_hello(message: bytes) -> Hello | Complaint:
    """What a process answers to an order."""
    said = json.loads(message)
    if "complaint" in said:
        return Complaint(**said["complaint"])
    model = said["model"]
    return Hello(Model(**{**model, "shape": tuple(model["shape"]), "vocabulary": tuple(model["vocabulary"])}), said["hardware"])


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker shall be warm for; jobs name subnets by their place in it."""

    subnets: tuple[Subnet, ...]
    batch_sizes: tuple[int, ...]
    shape: tuple[int, ...]
    classes: int
    datatype: str = DATATYPE

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
    def input_bytes(self) -> int:
        """How much memory the rows of one batch take."""
        return DTYPES[self.datatype].itemsize * max(self.batch_sizes) * int(np.prod(self.shape))

    @property
    def area_bytes(self) -> int:
        """How much memory one batch and its answer take."""
        return self.input_bytes + DTYPES[DATATYPE].itemsize * max(self.batch_sizes) * self.classes


class Area:
    """The shared memory of one worker: inputs (largest batch, *shape) of the model's own datatype, logits (largest batch, classes)."""

    def __init__(self, descriptor: int, plan: Plan) -> None:
        # anonymous memory behind a descriptor: nothing is left over however the processes end
        memory = mmap.mmap(descriptor, plan.area_bytes)
        rows, split = max(plan.batch_sizes), plan.input_bytes
        self.inputs: NDArray[Any] = np.frombuffer(memory, np.uint8)[:split].view(DTYPES[plan.datatype]).reshape(rows, *plan.shape)
        self.logits: NDArray[np.float32] = np.frombuffer(memory, np.float32, offset=split).reshape(rows, plan.classes)
