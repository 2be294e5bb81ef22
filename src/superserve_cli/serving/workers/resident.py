from pathlib import Path

from superserve_cli import supernet
from superserve_cli.serving.model import Model
from superserve_cli.serving.workers.torch_worker import TorchWorker


def make(path: str | None, device: str, threads: int | None) -> tuple[TorchWorker, Model]:
    """A worker that holds a SuperNet, the shipped one by default, and what a router needs to know of it."""
    held = supernet.load(Path(path) if path is not None else None)
    task, shape = held.metadata.get("task", {}), held.architecture.shape
    model = Model(held.name, held.hash, tuple(shape), held.architecture.classes, held.subnets, task.get("name"), task.get("seed"))
    return TorchWorker(held, device=device, threads=threads), model
