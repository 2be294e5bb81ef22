"""Captured CUDA graphs, one per (subnet, batch size), over one set of weights: replay against launching each kernel."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from superserve_cli.bench.in_place import Compared, Run, compare
from superserve_cli.core.nouns import Subnet
from superserve_cli.serving.workers.accelerators import Cuda, Replay
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.program import Program


@dataclass(frozen=True)
class Graphs:
    """`compared` has the ways `graph` and `views`; `bytes` is what the captures and their shared pool took on the device."""

    compared: Compared
    bytes: int


def graphs(net: SuperNet, subnets: Sequence[Subnet], batch_size: int, rounds: int) -> Graphs:
    """Capture each subnet's program, all into one memory pool, and time replays beside plain runs."""
    device = next(iter(net.weights.values())).device
    x = torch.randn(batch_size, *net.architecture.shape, device=device)
    accelerator = Cuda(device)
    before = accelerator.bytes
    captured = [accelerator.record(_work(net.program(subnet), x)) for subnet in subnets]
    grown = accelerator.bytes - before

    def replay(graph: Replay) -> Run:
        def run() -> None:
            accelerator.compute(graph)
            torch.cuda.synchronize(device)

        return run

    def plain(program: Program) -> Run:
        def run() -> None:
            with torch.inference_mode():
                program(x)
            torch.cuda.synchronize(device)

        return run

    ways = {"graph": [replay(graph) for graph in captured], "views": [plain(net.program(subnet)) for subnet in subnets]}
    return Graphs(compare(subnets, ways, rounds), grown)


def _work(program: Program, x: torch.Tensor) -> Replay:
    def work() -> None:
        with torch.inference_mode():
            program(x)

    return work
