"""How long layers and whole subnets take on a device, in interleaved rounds, as profiles are measured.

One sample of each per round. Between two samples of a layer all the others run, so its weights have left the caches, as they have
between two runs of a network; its input lies where that of all layers lies, as the output of the layer before would.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superserve_cli.core.nouns import NS_PER_S, Progress, Subnet, silent
from superserve_cli.profiles.measure import round_order
from superserve_cli.search.layer import Work
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.attention import Operation
from superserve_cli.supernet.layers import Activation, Embed, Norm
from superserve_cli.supernet.operations import Normalize, Take
from superserve_cli.supernet.plan import Shape, norms
from superserve_cli.supernet.program import bind, by_statistics, views
from superserve_cli.training.calibrate import calibrate

ROUNDS: Final = 50
FEWEST_ROUNDS: Final = 4
"""Of which a median is worth something."""
CALIBRATION: Final = 1
"""So many noise images make the numbers inside a subnet finite, whose latency does not depend on what they are."""

Run = Callable[[], object]
Samples = NDArray[np.int64]
"""Latencies in ns, (rounds, runs)."""


def measure(
    runs: Mapping[str, Run],
    *,
    seconds: float,
    seed: int = 0,
    keep: Callable[[Samples], None] = lambda samples: None,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
    progress: Progress = silent,
) -> Samples:
    """Samples of ROUNDS rounds, or of as many as some seconds allow, but no fewer than FEWEST_ROUNDS; each run is warmed up.

    `keep` is handed all the samples after each round.
    """
    ready, begun = list(runs.values()), clock_ns()
    for step, run in enumerate(ready, 1):
        run()
        progress(step, (ROUNDS + 1) * len(ready), "warming up")
    rounds: list[Samples] = []
    while len(rounds) < ROUNDS and (len(rounds) < FEWEST_ROUNDS or clock_ns() - begun < seconds * NS_PER_S):
        taken = np.zeros(len(ready), np.int64)
        for step, i in enumerate(round_order(seed, len(rounds), len(ready)), 1):
            start = clock_ns()
            ready[i]()
            taken[i] = clock_ns() - start
            progress((len(rounds) + 1) * len(ready) + step, (ROUNDS + 1) * len(ready), f"round {len(rounds) + 1}")
        rounds.append(taken)
        keep(np.stack(rounds))
    progress(1, 1, f"{len(rounds)} rounds")
    return np.stack(rounds) if ready else np.zeros((0, 0), np.int64)


@dataclass(frozen=True)
class Bench:
    """A SuperNet on a device, and random inputs: what makes layers and subnets into something that can be timed."""

    supernet: SuperNet
    batch_size: int
    _floats: dict[str, Tensor] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(iter(self.supernet.weights.values())).device

    def layers(self, works: Iterable[Work]) -> dict[str, Run]:
        """What runs each layer, by its key."""
        return {work.key: self._timed(self._layer(work)) for work in works}

    def subnets(self, subnets: Iterable[Subnet]) -> dict[str, Run]:
        """What runs each subnet, with statistics of noise where its own are not known."""
        return {subnet: self._timed(self._subnet(subnet)) for subnet in subnets}

    def _timed(self, run: Run) -> Run:
        on_gpu = self.device.type == "cuda"

        def timed() -> None:
            with torch.inference_mode():
                run()
            if on_gpu:
                torch.cuda.synchronize(self.device)

        return timed

    def _layer(self, work: Work) -> Run:
        layer, take = work.layer, views(self.supernet.weights)
        if isinstance(layer, Activation) and layer.kind == "relu":  # in place, as in programs

            def rectify() -> Tensor:
                return torch.relu_(self._input(work.shape, self.batch_size))

            return rectify
        program = bind((layer,), take, _unit(take))
        tokens = isinstance(layer, Embed)
        return lambda: program(self._tokens(work.shape) if tokens else self._input(work.shape, self.batch_size))

    def _subnet(self, subnet: Subnet) -> Run:
        net = self.supernet
        plan, take, shape = net.plan(subnet), views(net.weights), net.architecture.shape
        if norms(plan):
            noise = self._input(shape, CALIBRATION)
            program = bind(plan, take, by_statistics(plan, take, *calibrate(plan, net.weights, [noise])))
        else:
            program = net.program(subnet)
        return lambda: program(self._tokens(shape) if net.architecture.dtype == "int64" else self._input(shape, self.batch_size))

    def _input(self, shape: Shape, count: int) -> Tensor:
        """Random numbers (count, *shape), images channel by channel; all inputs lie in the same memory."""
        needed = count * prod(shape)
        if "floats" not in self._floats or len(self._floats["floats"]) < needed:
            draw = torch.Generator().manual_seed(0)
            self._floats["floats"] = torch.randn(needed, generator=draw).to(self.device, self._dtype)
        flat = self._floats["floats"][:needed]
        if len(shape) == 3:
            channels, *sides = shape
            return flat.view(count, *sides, channels).permute(0, 3, 1, 2)
        return flat.view(count, *shape)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float32

    def _tokens(self, shape: Shape) -> Tensor:
        return torch.ones((self.batch_size, *shape), dtype=torch.int64, device=self.device)


def _unit(take: Take) -> Callable[[Norm], Operation]:
    """Binds SubnetNorm layers to a mean of 0 and a variance of 1."""

    def normalize(norm: Norm) -> Operation:
        scale = take(norm.scale)
        return Normalize(scale, take(norm.shift), torch.zeros_like(scale), torch.ones_like(scale), norm.epsilon)

    return normalize
