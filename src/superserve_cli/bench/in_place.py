"""A subnet in place against its extracted copy, in interleaved rounds: what it costs that the weights are shared."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.programs import pack

Run = Callable[[], object]
WARM_UP_RUNS = 2


@dataclass(frozen=True)
class Compared:
    """Wall-clock times in seconds of some ways to run the same subnets, by way (rounds, subnets); a round runs each once."""

    subnets: tuple[Subnet, ...]
    seconds: Mapping[str, NDArray[np.float64]]

    def ratios(self, way: str, to: str) -> list[float]:
        """For each subnet, the median over rounds of the ratio within a round."""
        found: list[float] = np.median(self.seconds[way] / self.seconds[to], axis=0).tolist()
        return found

    def ratio(self, way: str, to: str) -> float:
        """The median over subnets."""
        return median(self.ratios(way, to))

    def medians_ms(self, way: str) -> list[float]:
        """The median time of each subnet."""
        found: list[float] = (1e3 * np.median(self.seconds[way], axis=0)).tolist()
        return found


def compare(subnets: Sequence[Subnet], ways: Mapping[str, Sequence[Run]], rounds: int) -> Compared:
    """Time each way for each subnet once per round, in an order of each round's own; `ways` has a callable per subnet."""
    cells = [(way, i) for way in ways for i in range(len(subnets))]
    for way, i in cells:
        for _ in range(WARM_UP_RUNS):
            ways[way][i]()
    seconds = {way: np.zeros((rounds, len(subnets))) for way in ways}
    for number in range(rounds):
        for cell in np.random.default_rng(number).permutation(len(cells)):
            way, i = cells[cell]
            begun = time.perf_counter()
            ways[way][i]()
            seconds[way][number, i] = time.perf_counter() - begun
    return Compared(tuple(subnets), seconds)


def in_place(net: SuperNet, subnets: Sequence[Subnet], rounds: int) -> Compared:
    """`views` and `packed` programs and `extracted` modules of the same subnets at batch size 1, on the device that the SuperNet is on."""
    device = next(iter(net.weights.values())).device
    x = torch.randn(1, *net.architecture.shape, generator=torch.Generator().manual_seed(0)).to(device)
    ways: dict[str, Sequence[Callable[[Tensor], Any]]] = {
        "views": [net.program(subnet) for subnet in subnets],
        "packed": [pack(net, subnet).program for subnet in subnets],
        "extracted": [extract(net, subnet) for subnet in subnets],
    }

    def timed(model: Callable[[Tensor], Any]) -> Run:
        def once() -> None:
            with torch.inference_mode():
                model(x)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return once

    return compare(subnets, {way: [timed(model) for model in models] for way, models in ways.items()}, rounds)
