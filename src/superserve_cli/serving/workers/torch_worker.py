import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superserve_cli.core import provenance
from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.devices import device as device_named

WARM_UP_RUNS: Final = 2
"""The first run of a shape allocates and picks kernels, the second shows whether that is over."""


class TorchWorker:
    """A worker that runs the programs of a SuperNet with PyTorch, on a CPU or a CUDA device.

    `threads` (default: all cores but one) is set for the whole process. Raises Unknown or BadOption for a device that is not
    there, BadOption for less than one thread.
    """

    def __init__(self, supernet: SuperNet, device: str = "cpu", threads: int | None = None) -> None:
        self.device = device_named(device)
        self.threads = max(1, (os.cpu_count() or 1) - 1) if threads is None else threads
        if self.threads < 1:
            raise BadOption(f"{self.threads} threads", hint="a worker needs at least 1")
        torch.set_num_threads(self.threads)
        self.supernet = supernet.to(self.device)

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Logits (n, classes) of images (n, channels, height, width); raises Unknown for a subnet that is not calibrated."""
        if subnet not in self.supernet.statistics:
            raise Unknown("subnet", subnet, self.supernet.subnets)
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.supernet.forward(self._sent(batch), subnet).cpu().numpy()
        return logits

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        """Build the programs, and run each at each batch size."""
        for size in batch_sizes:
            zeros = np.zeros((size, *self.supernet.architecture.shape), np.float32)
            for subnet in subnets:
                for _ in range(WARM_UP_RUNS):
                    self.infer(subnet, zeros)

    def describe(self) -> dict[str, Any]:
        """Device and its name, threads, dtype, back end, versions."""
        on_gpu = self.device.type == "cuda"
        return {
            "device": str(self.device),
            "device_name": torch.cuda.get_device_name(self.device) if on_gpu else provenance.processor(),
            "threads": self.threads,
            "dtype": "float32",
            "backend": "torch",
            "versions": {"torch": torch.__version__, **({"cuda": str(torch.version.cuda)} if on_gpu else {})},
        }

    def _sent(self, batch: NDArray[Any]) -> Tensor:
        # PyTorch wants memory that it may write to; slots of shared memory can be read-only
        x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
        return x.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else x
