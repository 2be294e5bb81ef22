from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet


class KnownWorker:
    """A worker whose latencies are known, on a clock of its own; it answers the class that stands in the first pixel.

    A subnet whose name ends with a digit d calls everything below class d a 0.
    """

    def __init__(self, latency_ns: Callable[[Subnet, int], int]) -> None:
        self.latency_ns = latency_ns
        self.now_ns = 0
        self.ran: list[tuple[Subnet, int]] = []
        self.warmed: tuple[Sequence[Subnet], Sequence[int]] | None = None

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.now_ns += self.latency_ns(subnet, len(batch))
        self.ran.append((subnet, len(batch)))
        said = batch[:, 0].astype(int)
        said[said < int(subnet[-1])] = 0
        return np.asarray(np.eye(10)[said], dtype=np.float32)

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        self.warmed = (subnets, batch_sizes)

    def describe(self) -> dict[str, Any]:
        return {"device": "known", "threads": 1}

    def clock_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def worker() -> KnownWorker:
    """Subnet s0 takes 1000 ns and 100 more for each row, s1 twice, s2 three times as long."""
    return KnownWorker(lambda subnet, rows: (int(subnet[-1]) + 1) * (1000 + 100 * rows))
