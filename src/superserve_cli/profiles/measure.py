"""How long every (subnet, batch size) takes, in interleaved rounds, and how accurate every subnet is.

One sample of every cell per round, the cells of a round in an order of its own: a machine that drifts (heat, neighbours) then
slows all cells alike, where a pass cell after cell would call the last ones slow.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Progress, Subnet, Worker, silent

Samples = NDArray[np.int64]
"""Latencies in ns, (rounds, subnets, batch sizes)."""
ROWS_PER_BATCH: Final = 256
"""How many test inputs are answered at a time, at most."""
NUMBERS_PER_BATCH: Final = 2**22
"""Fewer inputs than that make a batch when they are large: what a network makes of them has to fit into memory."""
GOAL: Final = 0.05
"""The disagreement of the halves above which a profile deserves a warning."""


class Disagreement(NamedTuple):
    """How far the medians of the odd and of the even rounds lie apart, relative to their mean: over all cells, median and p90."""

    median: float
    p90: float

    @property
    def good(self) -> bool:
        """Whether the profile can be trusted to about 5 %."""
        return self.p90 <= GOAL


def measure(
    worker: Worker,
    subnets: Sequence[Subnet],
    batch_sizes: Sequence[int],
    inputs: NDArray[Any],
    rounds: int,
    *,
    seed: int = 0,
    earlier: Samples | None = None,
    keep: Callable[[Samples], None] = lambda samples: None,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
    progress: Progress = silent,
) -> Samples:
    """Samples of `rounds` rounds; the worker is warmed up first. `inputs` (n, ...) holds at least the largest batch.

    `earlier` are rounds measured before, which count; `keep` is handed all the samples after each round, so that an interrupted
    measurement can go on. The order of a round depends on `seed` and the number of the round alone.
    """
    cells = len(subnets) * len(batch_sizes)
    progress(0 if earlier is None else len(earlier[:rounds]) * cells, rounds * cells, "warming up")
    worker.warm_up(subnets, batch_sizes)
    batches = [np.ascontiguousarray(inputs[:size]) for size in batch_sizes]
    samples = np.zeros((0, len(subnets), len(batches)), np.int64) if earlier is None else earlier[:rounds]
    for number in range(len(samples), rounds):
        taken = np.zeros((len(subnets), len(batches)), np.int64)
        for step, cell in enumerate(round_order(seed, number, cells)):
            subnet, size = divmod(cell, len(batches))
            begun = clock_ns()
            worker.infer(subnets[subnet], batches[size])
            taken[subnet, size] = clock_ns() - begun
            progress(number * cells + step + 1, rounds * cells, f"round {number + 1} of {rounds}")
        samples = np.concatenate((samples, taken[None]))
        keep(samples)
    return samples


def round_order(seed: int, number: int, cells: int) -> list[int]:
    """The order in which a round visits the cells."""
    order: list[int] = np.random.Generator(np.random.PCG64([seed, number])).permutation(cells).tolist()
    return order


def accuracies(
    worker: Worker, subnets: Sequence[Subnet], x: NDArray[Any], y: NDArray[np.int64], progress: Progress = silent
) -> list[float]:
    """The share of inputs `x` (n, ...) whose largest output is that of their class `y` (n,), for each subnet."""
    found = []
    for done, subnet in enumerate(subnets, 1):
        found.append(float(np.mean(answers(worker, subnet, x) == y)))
        progress(done, len(subnets), subnet)
    return found


def answers(worker: Worker, subnet: Subnet, x: NDArray[Any]) -> NDArray[np.int64]:
    """The class (n,) with the largest output for each input."""
    return np.asarray(outputs(worker, subnet, x).argmax(axis=-1))


def outputs(worker: Worker, subnet: Subnet, x: NDArray[Any]) -> NDArray[np.float32]:
    """What a subnet makes of inputs `x` (n, ...): (n, classes)."""
    rows = min(ROWS_PER_BATCH, max(1, NUMBERS_PER_BATCH // x[0].size))
    return np.concatenate([worker.infer(subnet, x[start : start + rows]) for start in range(0, len(x), rows)])


def disagreement(samples: Samples) -> Disagreement | None:
    """The split-half disagreement of the medians, or None for a single round."""
    if len(samples) < 2:
        return None
    odd, even = np.median(samples[1::2], axis=0), np.median(samples[::2], axis=0)
    apart = np.abs(odd - even) / ((odd + even) / 2)
    return Disagreement(float(np.median(apart)), float(np.quantile(apart, 0.9)))
