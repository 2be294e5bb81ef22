"""What SubnetNorm statistics are measured on: training images of a task, of the user's own, or noise."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superserve_cli import tasks
from superserve_cli.errors import BadOption
from superserve_cli.supernet import SuperNet
from superserve_cli.tasks.own import training_images

NOISE: Final = "noise"
OWN: Final = "npz:"


@dataclass(frozen=True)
class Images:
    """`count` images in batches of `batch`, the same whenever they are asked for. `digest` tells them from others."""

    data: str
    count: int
    batch: int
    seed: int
    digest: str
    slice: Callable[[int, int], NDArray[np.float32]]

    @property
    def steps(self) -> int:
        """How many batches there are."""
        return -(-self.count // self.batch)

    @property
    def synthetic(self) -> bool:
        """Whether statistics of them are good for measuring latency only."""
        return self.data == NOISE

    def batches(self, device: torch.device) -> Iterator[Tensor]:
        """The images (n, channels, height, width), batch by batch."""
        for start in range(0, self.count, self.batch):
            yield torch.from_numpy(self.slice(start, min(start + self.batch, self.count))).to(device)


def images(supernet: SuperNet, data: str | None, count: int, batch: int, seed: int) -> Images:
    """Up to `count` random images of what `data` names: a task, npz:FILE or noise; None is the task that the SuperNet learnt.

    The seed decides which ones. Raises Unknown, BadFile or BadOption for data that do not exist or do not fit.
    """
    needs_statistics(supernet)
    name = data or own_task(supernet)
    if name == NOISE:
        return Images(NOISE, count, batch, seed, f"{NOISE} {seed}", _noise(supernet.architecture.shape, seed))
    x = _training(supernet, name)
    check_shape(supernet, name, x)
    chosen = np.random.default_rng(seed).permutation(len(x))[:count]
    return Images(name, len(chosen), batch, seed, _digest(x, chosen), lambda start, stop: x[chosen[start:stop]])


def needs_statistics(supernet: SuperNet) -> None:
    """Raises BadOption for a SuperNet without SubnetNorm layers."""
    if not supernet.normalized:
        raise BadOption(f"{supernet.name} has no SubnetNorm layers", hint="its subnets need no statistics and run as they are")


def check_shape(supernet: SuperNet, name: str, x: NDArray[Any]) -> None:
    """Raises BadOption for inputs that a SuperNet does not take."""
    if x.dtype != np.float32 or x.shape[1:] != supernet.architecture.shape:
        raise BadOption(
            f"{name} holds {x.dtype} of {_by(x.shape[1:])}, but {supernet.name} takes float32 of {_by(supernet.architecture.shape)}",
            hint="resize the images first: superserve does not",
        )


def own_task(supernet: SuperNet) -> str:
    """The task that a SuperNet learnt; raises BadOption where its metadata name none."""
    if "task" not in supernet.metadata:
        raise BadOption(
            f"{supernet.name} does not say which task it learnt",
            hint="name its training images: --data npz:FILE (array x or x_train); --data noise is good for latency only",
        )
    return str(supernet.metadata["task"]["name"])


def load_task(supernet: SuperNet, name: str) -> tasks.Task:
    """A task by name, split as when the SuperNet learnt it."""
    return tasks.load(name, _seed(supernet, name))


def _seed(supernet: SuperNet, name: str) -> int:
    learnt = supernet.metadata.get("task", {})
    return int(learnt["seed"]) if learnt.get("name") == name else 0


def _training(supernet: SuperNet, name: str) -> NDArray[np.float32]:
    if name.startswith(OWN):
        return training_images(Path(name.removeprefix(OWN)), _seed(supernet, name))
    return load_task(supernet, name).train.x


def _noise(shape: tuple[int, ...], seed: int) -> Callable[[int, int], NDArray[np.float32]]:
    return lambda start, stop: np.random.default_rng([seed, start]).standard_normal((stop - start, *shape), np.float32)


def _digest(x: NDArray[np.float32], chosen: NDArray[np.int64]) -> str:
    digest = hashlib.sha256()
    for i in chosen:
        digest.update(np.ascontiguousarray(x[i]).data)
    return digest.hexdigest()


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
