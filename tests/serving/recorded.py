from pathlib import Path
from typing import cast

from superserve_cli import supernet
from superserve_cli.serving.model import Model
from superserve_cli.serving.workers.accelerators import Host
from superserve_cli.serving.workers.graph_worker import GraphWorker
from superserve_cli.serving.workers.resident import of_supernet
from superserve_cli.serving.workers.torch_worker import TorchWorker


def graphs(path: str) -> tuple[GraphWorker, Model]:
    """A worker of recorded graphs that has the host for its device."""
    held = of_supernet(TorchWorker(supernet.load(Path(path)), threads=1))
    return GraphWorker(cast(TorchWorker, held.worker), Host()), held.model
