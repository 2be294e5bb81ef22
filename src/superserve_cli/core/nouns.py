from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Subnet = str
"""A subnet's canonical text id: opaque to everybody but the SuperNet's own space."""

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
new: Final = tuple.__new__
"""Makes a NamedTuple of all its values in half the time that calling it takes: for those of which every request has one."""


def ms_to_ns(milliseconds: float) -> int:
    """Milliseconds of the edge (options, reports) as the int64 nanoseconds of the inside, to the nearest."""
    return round(milliseconds * NS_PER_MS)


class Choice(NamedTuple):
    """What to run next: a subnet, and how many requests at most in the batch."""

    subnet: Subnet
    batch_size: int


WAIT: Final = Choice("", 0)
"""Run nothing yet: the head is decided anew when a request comes, a worker is free, or its slack has fallen far enough to matter."""

Choose = Callable[[int, int], Choice | None]
"""(slack of the most urgent request in ns, queue depth in rows) -> what to run, WAIT, or None for a head that no choice suits."""


class Request(NamedTuple):
    """One inference to serve. `arrival_ns` is when it should arrive, not when we noticed it; `size` counts its rows.

    One that names its `subnet` is pinned: no other may run it.
    """

    id: int
    arrival_ns: int
    deadline_ns: int
    min_accuracy: float = 0.0
    size: int = 1
    subnet: Subnet | None = None


class Worker(Protocol):
    """One device with the whole SuperNet on it; profiling, serving and tests use the same one."""

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Outputs (n, ...) of a batch (n, ...), after the device has finished; blocks."""
        ...

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        """Everything that makes the first call slower than the second, done ahead of time."""
        ...

    def describe(self) -> dict[str, Any]:
        """Where latencies come from: device, threads, dtype, backend, versions."""
        ...


Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, a few words on how it goes): how long work tells whoever watches."""


def silent(done: int, total: int, note: str) -> None:
    """Progress that nobody watches."""
