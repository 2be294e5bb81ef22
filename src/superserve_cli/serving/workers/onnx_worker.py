import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from superserve_cli.core import provenance
from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadFile, BadOption, SuperserveError, Unknown
from superserve_cli.serving.model import INPUT, OUTPUT
from superserve_cli.supernet.devices import FORM
from superserve_cli.supernet.devices import threads as threads_of
from superserve_cli.supernet.onnx.described import HINT, Control, Described, read

WARM_UP_RUNS: Final = 2
"""The first run of a shape allocates and plans its memory, the second shows whether that is over."""
SUFFIX: Final = ".onnx"
ERRORS_ONLY: Final = 3
CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
UNREADABLE: Final = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NoModel,
    errors.NoSuchFile,
    errors.NotImplemented,
    errors.RuntimeException,
)
"""What ONNX Runtime raises for a file that it cannot run."""

Provider = str | tuple[str, dict[str, Any]]


class Held(NamedTuple):
    """Where a subnet is: a file, and what actuates the subnet in it."""

    path: Path
    control: Control


class OnnxWorker:
    """A worker that runs exported subnets with ONNX Runtime: a whole-SuperNet file, a file of one subnet, or a folder of files.

    A file is opened when one of its subnets is first wanted. `threads` as in TorchWorker. Raises BadFile for files that are not
    exports of one and the same SuperNet, Unknown or BadOption for a device that ONNX Runtime cannot use here.
    """

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None) -> None:
        self.threads = threads_of(threads)
        self._providers, self.device = _providers(device)
        files = {file: read(file) for file in files_of(path)}
        self.chosen_ns = 0
        """When the session of the last batch was chosen, by the machine's monotonic clock."""
        self.described = _of_one(files)
        self.subnets = _subnets(files)
        self._described = files
        self._sessions: dict[Path, onnxruntime.InferenceSession] = {}
        self._warm: dict[Subnet, tuple[onnxruntime.InferenceSession, dict[str, NDArray[Any]]]] = {}

    def infer(self, subnet: Subnet, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Outputs (n, classes) of inputs (n, *shape); raises Unknown for a subnet that is in none of the files."""
        session, control = self._warm.get(subnet) or self._opened(subnet)
        self.chosen_ns = time.monotonic_ns()
        logits: NDArray[np.float32] = session.run([OUTPUT], {**control, INPUT: np.require(batch, self.described.dtype, "C")})[0]
        return logits

    def warm_up(self, subnets: Sequence[Subnet], batch_sizes: Sequence[int]) -> None:
        """Open the files, and run each subnet at each batch size."""
        self._warm = {subnet: self._opened(subnet) for subnet in subnets}
        for size in batch_sizes:
            zeros = np.zeros((size, *self.described.shape), self.described.dtype)
            for subnet in subnets:
                for _ in range(WARM_UP_RUNS):
                    self.infer(subnet, zeros)

    def describe(self) -> dict[str, Any]:
        """Device and its name, threads, dtype, back end, the form of the files, versions."""
        return {
            "device": self.device,
            **({"device_name": provenance.processor()} if self.device == "cpu" else {}),
            "threads": self.threads,
            "dtype": "float32",
            "backend": "onnxruntime",
            "form": self.described.form,
            "versions": {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__},
        }

    def _opened(self, subnet: Subnet) -> tuple[onnxruntime.InferenceSession, dict[str, NDArray[Any]]]:
        """The session that holds a subnet, and what actuates it there."""
        if subnet not in self.subnets:
            raise Unknown("subnet", subnet, self.subnets)
        path, control = self.subnets[subnet]
        if path not in self._sessions:
            self._sessions[path] = self._session(path)
        return self._sessions[path], control.feeds() if self._described[path].form == "supernet" else {}

    def _session(self, path: Path) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = self.threads
        if len(self._described) > 1:
            # each session has its own threads: those of the last subnet would spin in the way of the next one's
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(path, options, providers=self._providers)
        except UNREADABLE as error:
            raise BadFile(f"ONNX Runtime cannot open {path}: {_first_line(error)}", hint=HINT) from error
        if session.get_providers()[0] != _name(self._providers[0]):
            raise SuperserveError(f"ONNX Runtime cannot use {self.device} for {path}", hint="its own output says why; --device cpu works")
        return session


def files_of(path: Path) -> list[Path]:
    """The ONNX files that a path names: itself, or those of a folder; raises BadFile where there is none."""
    found = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not found:
        raise BadFile(f"{path} holds no {SUFFIX} file", hint=HINT)
    return found


def _of_one(files: Mapping[Path, Described]) -> Described:
    """What all files have in common; raises BadFile when they are of different SuperNets."""
    (first, described), *others = files.items()
    for path, other in others:
        if other.hash != described.hash:
            raise BadFile(f"{first} and {path} are of different SuperNets", hint="give the subnets of one SuperNet a folder of their own")
    return described


def _subnets(files: Mapping[Path, Described]) -> dict[Subnet, Held]:
    found: dict[Subnet, Held] = {}
    for path, described in files.items():
        for control in described.subnets:
            if control.id in found:
                raise BadFile(f"{found[control.id].path} and {path} both hold subnet {control.id}", hint="name one of the files")
            found[control.id] = Held(path, control)
    return found


def _providers(device: str) -> tuple[list[Provider], str]:
    """What ONNX Runtime shall use for `cpu`, `cuda` or `cuda:1`, and the whole name of the device."""
    if not FORM.fullmatch(device):
        raise Unknown("device", device, ["cpu", "cuda", "cuda:0"])
    if device == "cpu":
        return [CPU], device
    if CUDA not in onnxruntime.get_available_providers():
        raise BadOption(
            f"ONNX Runtime cannot use {device}: this build has no {CUDA}", hint="install onnxruntime-gpu; --device cpu always works"
        )
    number = int(device.partition(":")[2] or 0)
    return [(CUDA, {"device_id": number}), CPU], f"cuda:{number}"


def _name(provider: Provider) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
