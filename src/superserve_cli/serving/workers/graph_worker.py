"""A worker whose every (subnet, batch size) is a graph recorded once over the shared weights: launching a batch is one call.

    host slot --send--> device slot --load--> input --graph (subnet, size)--> output --fetch--> host slot

Input and output are the same memory for all graphs; what arrives is staged in one of two slots, so that the next batch is copied
to the device while the present one is computed.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superserve_cli.core.nouns import Subnet
from superserve_cli.serving.workers.accelerators import Accelerator, Mark, Replay
from superserve_cli.serving.workers.torch_worker import TorchWorker
from superserve_cli.supernet.program import Program

SLOTS: Final = 2
"""One batch is computed while the next one is copied; a third would only wait."""


class _Slot(NamedTuple):
    """Where one batch is staged: inputs on the host and on the device, outputs on the host."""

    sent: Tensor
    staged: Tensor
    fetched: Tensor


class _Begun(NamedTuple):
    mark: Mark
    rows: int


class GraphWorker:
    """The programs of a torch worker, recorded. Batches are begun in a slot and finished in the order in which they were begun.

    `warm_up` records one graph per subnet and batch size; a batch of a size between runs in the next larger graph. Subnets that
    it was not told of run kernel by kernel.
    """

    slots = SLOTS

    def __init__(self, torch_worker: TorchWorker, accelerator: Accelerator) -> None:
        self._torch = torch_worker
        self._accelerator = accelerator
        self._sizes: tuple[int, ...] = ()
        self._graphs: dict[tuple[Subnet, int], Replay] = {}
        self._slots: tuple[_Slot, ...] = ()
        self._begun: dict[int, _Begun] = {}
        self._input = self._output = torch.empty(0)
        self.chosen_ns = 0
        """When the graph of the batch that was begun last was chosen, by the machine's monotonic clock."""
        self.bytes: dict[tuple[Subnet, int], int] = {}
        """Memory of the device, weights and buffers included, after each graph was recorded."""

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        """Record every subnet at every batch size, the largest first: it leaves memory that the smaller ones fit into."""
        programs = self._torch.choose(subnets)
        self._sizes = tuple(sorted(batch_sizes))
        with torch.inference_mode():
            self._allocate(programs[subnets[0]] if subnets else None)
            for size in reversed(self._sizes):
                for subnet, program in programs.items():
                    self._graphs[subnet, size] = self._recorded(program, size)
                    self.bytes[subnet, size] = self._accelerator.bytes
        for subnet, size in self._graphs:
            self.infer(subnet, np.zeros((size, *self._torch.shape), self._torch.input_dtype))

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Outputs (n, classes) of inputs (n, *shape), in as many batches as it takes."""
        if not self._sizes or (subnet, largest := self._sizes[-1]) not in self._graphs:
            outputs = self._torch.infer(subnet, batch)
            self.chosen_ns = self._torch.chosen_ns
            return outputs
        parts = [batch[at : at + largest] for at in range(0, len(batch), largest)]
        return np.concatenate([self._alone(subnet, part) for part in parts])

    def _alone(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.begin(0, subnet, batch)
        return self.finish(0).copy()

    def begin(self, slot: int, subnet: Subnet, batch: NDArray[Any]) -> None:
        """Start a batch (n, *shape) in a free slot, and come back while it is copied and computed.

        The subnet must be recorded, at this batch size or a larger one.
        """
        rows = len(batch)
        replay = self._graphs[subnet, self._sizes[bisect_left(self._sizes, rows)]]
        self.chosen_ns = time.monotonic_ns()
        sent, staged, fetched = self._slots[slot]
        with torch.inference_mode():
            sent.numpy()[:rows] = batch
            self._accelerator.send(staged[:rows], sent[:rows])
            self._accelerator.compute(lambda: self._torch.load(self._input[:rows], staged[:rows]), replay)
            self._begun[slot] = _Begun(self._accelerator.fetch(fetched[:rows], self._output[:rows]), rows)

    def finish(self, slot: int) -> NDArray[np.float32]:
        """The outputs of the batch in a slot, once they are there; they are valid until another batch begins in it."""
        mark, rows = self._begun.pop(slot)
        mark.synchronize()
        outputs: NDArray[np.float32] = self._slots[slot].fetched.numpy()[:rows]
        return outputs

    def describe(self) -> dict[str, Any]:
        """As the torch worker's, and how many graphs there are."""
        return {**self._torch.describe(), "graphs": len(self._graphs)}

    def _allocate(self, program: Program | None) -> None:
        """Slots, input and output for the largest batch."""
        largest, shape, accelerator = self._sizes[-1], self._torch.shape, self._accelerator
        raw = torch.from_numpy(np.empty(0, self._torch.input_dtype)).dtype
        order = torch.channels_last if len(shape) == 3 else torch.contiguous_format
        blank = torch.zeros((largest, *shape), dtype=self._torch.computing_dtype, device=accelerator.device)
        self._input = blank.contiguous(memory_format=order)
        classes = 0 if program is None else program(self._input[:1]).shape[-1]
        self._output = torch.zeros((largest, classes), device=accelerator.device)
        self._slots = tuple(
            _Slot(
                accelerator.staging((largest, *shape), raw),
                torch.zeros((largest, *shape), dtype=raw, device=accelerator.device),
                accelerator.staging((largest, classes), torch.float32),
            )
            for _ in range(SLOTS)
        )

    def _recorded(self, program: Program, size: int) -> Replay:
        inputs, outputs = self._input[:size], self._output[:size]

        def work() -> None:
            outputs.copy_(program(inputs))

        return self._accelerator.record(work)
