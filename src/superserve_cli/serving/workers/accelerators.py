"""What a graph worker asks of its device: memory to stage batches in, two lanes that overlap, and work recorded once and replayed.

`Cuda` does it with captured graphs, pinned memory and two streams. `Host` does the same with nothing of the kind, so that
everything above it is tested where there is no GPU.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import torch
from torch import Tensor

WARM_UP_RUNS: Final = 3
"""Before a capture: libraries choose kernels and allocate what a capture must not."""

Replay = Callable[[], object]
"""Work that a device does when it is called; what it returns is of no use."""


class Mark(Protocol):
    """A point in the work of a device."""

    def synchronize(self) -> None:
        """Wait until it has."""
        ...


class Accelerator(Protocol):
    """A device with a lane for copies to it and a lane for everything else."""

    device: torch.device

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of the host that the device can reach by itself."""
        ...

    def record(self, work: Replay) -> Replay:
        """What does the same work again, on the tensors that it used; the work must not look at results."""
        ...

    def compute(self, *work: Replay) -> None:
        """Have this done, one after the other, behind what was asked for before."""
        ...

    def send(self, target: Tensor, source: Tensor) -> None:
        """Copy staged memory to the device beside whatever it computes; work from now on waits for it."""
        ...

    def fetch(self, target: Tensor, source: Tensor) -> Mark:
        """Copy a result into staged memory once it is there; both may be read or overwritten when the mark is passed."""
        ...

    @property
    def bytes(self) -> int:
        """Memory of the device that this process holds."""
        ...


class Cuda:
    """A CUDA device. All graphs share one memory pool: they run one at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._computing: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._copying: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Pinned memory."""
        return torch.zeros(shape, dtype=dtype, pin_memory=True)

    def record(self, work: Replay) -> Replay:
        """A captured graph."""
        self._computing.wait_stream(torch.cuda.current_stream(self.device))  # whoever made the tensors did so there
        with torch.cuda.stream(self._computing):
            for _ in range(WARM_UP_RUNS):
                work()
        self._computing.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._computing):
            work()
        return graph.replay

    def compute(self, *work: Replay) -> None:
        """Launch on the stream of the graphs."""
        with torch.cuda.stream(self._computing):
            for each in work:
                each()

    def send(self, target: Tensor, source: Tensor) -> None:
        """Copy on a stream of its own."""
        with torch.cuda.stream(self._copying):
            target.copy_(source, non_blocking=True)
            self._computing.wait_event(self._copying.record_event())

    def fetch(self, target: Tensor, source: Tensor) -> Mark:
        """Copy behind the work that makes the result."""
        with torch.cuda.stream(self._computing):
            target.copy_(source, non_blocking=True)
            return self._computing.record_event()  # type: ignore[no-any-return]

    @property
    def bytes(self) -> int:
        """Weights, buffers and graphs with their pool, as the allocator holds them."""
        return torch.cuda.memory_reserved(self.device)


class Passed:
    """A mark of a device that has done everything before it is asked."""

    def synchronize(self) -> None:
        """Nothing to wait for."""


class Host:
    """The host in the place of a device: replaying is running again."""

    device = torch.device("cpu")
    bytes = 0

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Plain memory."""
        return torch.zeros(shape, dtype=dtype)

    def record(self, work: Replay) -> Replay:
        """The work itself."""
        work()
        return work

    def compute(self, *work: Replay) -> None:
        """Do it now."""
        for each in work:
            each()

    def send(self, target: Tensor, source: Tensor) -> None:
        """Copy now."""
        target.copy_(source)

    def fetch(self, target: Tensor, source: Tensor) -> Mark:
        """Copy now."""
        target.copy_(source)
        return Passed()
