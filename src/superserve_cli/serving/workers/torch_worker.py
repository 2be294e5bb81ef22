import time
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
from superserve_cli.supernet.devices import threads as threads_of
from superserve_cli.supernet.program import Program
from superserve_cli.supernet.programs import Programs

WARM_UP_RUNS: Final = 2
"""The first run of a shape allocates and picks kernels, the second shows whether that is over."""
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""What a worker may compute in."""
PACK_MB: Final = 256
"""Room for packed copies: all subnets of a small SuperNet, or some of a large one, and never many times the SuperNet itself."""
BYTES_PER_MB: Final = 10**6
IMAGE_DIMENSIONS: Final = 3
BRIGHTEST: Final = 255
"""A uint8 pixel of full intensity, which networks see as 1."""


class TorchWorker:
    """A worker that runs the programs of a SuperNet with PyTorch, on a CPU or a CUDA device.

    It computes in `dtype`, with its own copy of what it was given (`held`) where that differs. Inputs are float32 or int64, as
    the architecture has it, and outputs float32. With `pixels`, inputs are uint8 instead, a quarter of the bytes on their way, and
    become x / 255 on the device. Packed copies of the weights of hot subnets take up to `pack_mb`. `threads` (default: all cores
    but one) is set for the whole process. Raises Unknown or BadOption for a device that is not there, for another dtype, for less
    than one thread, for pixels of what are no images.
    """

    def __init__(
        self,
        supernet: SuperNet,
        device: str = "cpu",
        threads: int | None = None,
        dtype: str = "float32",
        pack_mb: int = PACK_MB,
        pixels: bool = False,
    ) -> None:
        self.device = device_named(device)
        if dtype not in DTYPES:
            raise Unknown("dtype", dtype, DTYPES)
        if pack_mb < 0:
            raise BadOption(f"{pack_mb} MB for packed weights", hint="0 means: no copies, all subnets on views of the shared weights")
        self.threads = threads_of(threads)
        torch.set_num_threads(self.threads)
        self.held = supernet
        self.supernet = supernet.to(self.device, DTYPES[dtype])
        self.programs = Programs(self.supernet, pack_mb * BYTES_PER_MB)
        self._warm: dict[Subnet, Program] = {}
        self._dtype = dtype
        self.chosen_ns = 0
        """When the program of the last batch was chosen, by the machine's monotonic clock."""
        self.pixels = pixels
        self.shape = tuple(supernet.architecture.shape)
        self.input_dtype = np.dtype("uint8" if pixels else supernet.architecture.dtype)
        if pixels and (len(self.shape) != IMAGE_DIMENSIONS or supernet.architecture.dtype != "float32"):
            raise BadOption(f"{supernet.name} does not read images", hint="leave the uint8 inputs out")
        self.computing_dtype = DTYPES[dtype] if self.input_dtype.kind != "i" else torch.int64

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Outputs (n, classes) of inputs (n, *shape); raises Unknown or BadOption for a subnet that cannot run."""
        with torch.inference_mode():
            program = self._warm.get(subnet) or self._program(subnet)
            self.chosen_ns = time.monotonic_ns()
            logits: NDArray[np.float32] = program(self._sent(batch)).float().cpu().numpy()
        return logits

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        """Choose the programs, and run each at each batch size."""
        self._warm = self.choose(subnets)
        for size in batch_sizes:
            zeros = np.zeros((size, *self.shape), self.input_dtype)
            for subnet in self._warm:
                for _ in range(WARM_UP_RUNS):
                    self.infer(subnet, zeros)

    def choose(self, subnets: Sequence[Subnet]) -> dict[Subnet, Program]:
        """The programs of some subnets, as many over packed weights as there is room for; raises Unknown for one that cannot run.

        From then on these are what runs, so that no latency depends on what ran before. The smallest subnets are packed first:
        whoever serves some of the subnets of a profile has packed at least those of them that were packed when it was measured.
        """
        views = {subnet: self._program(subnet) for subnet in subnets}  # whoever cannot run is refused before anything is copied
        room = self.programs.limit
        for subnet in sorted(views, key=self.supernet.params):
            # no copy is larger than all that the subnet computes with
            room -= self.supernet.params(subnet) * torch.float32.itemsize
            if room < 0:
                break
            self.programs.pack(subnet)
        return {subnet: self.programs.get(subnet) for subnet in views}

    def describe(self) -> dict[str, Any]:
        """Device and its name, threads, dtype, back end, room for packed weights, versions."""
        on_gpu = self.device.type == "cuda"
        return {
            "device": str(self.device),
            "device_name": torch.cuda.get_device_name(self.device) if on_gpu else provenance.processor(),
            "threads": self.threads,
            "dtype": self._dtype,
            **({"input": "uint8"} if self.pixels else {}),
            "backend": "torch",
            "pack_mb": self.programs.limit // BYTES_PER_MB,
            "versions": {"torch": torch.__version__, **({"cuda": str(torch.version.cuda)} if on_gpu else {})},
        }

    def _program(self, subnet: Subnet) -> Program:
        if not self.supernet.runs(subnet):
            raise Unknown("subnet", subnet, self.supernet.subnets)
        return self.programs.get(subnet)

    def _sent(self, batch: NDArray[Any]) -> Tensor:
        # PyTorch wants memory that it may write to; slots of shared memory can be read-only
        x = torch.from_numpy(np.require(batch, self.input_dtype, ["C", "W"]))
        if self.device.type == "cuda":
            x = x.pin_memory().to(self.device, non_blocking=True)
        if x.dtype == self.computing_dtype:
            return x
        return self.load(torch.empty(x.shape, dtype=self.computing_dtype, device=self.device), x)

    def load(self, target: Tensor, source: Tensor) -> Tensor:
        """Inputs as they come, on the device, into inputs as programs take them, `target`."""
        target.copy_(source)
        return target.div_(BRIGHTEST) if self.pixels else target
