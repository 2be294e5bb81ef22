"""Captured CUDA graphs, one per (subnet, batch size), over one set of weights: replay against launching each kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from superserve_cli.bench.in_place import Compared, Run, compare
from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.program import Program

WARM_UP_RUNS = 3
"""Before a capture: libraries choose and allocate what a capture must not."""


@dataclass(frozen=True)
class Graphs:
    """`compared` has the ways `graph` and `views`; `bytes` is what the captures and their shared pool took on the device."""

    compared: Compared
    bytes: int


def graphs(net: SuperNet, subnets: Sequence[Subnet], batch_size: int, rounds: int) -> Graphs:
    """Capture each subnet's program, all into one memory pool, and time replays beside plain runs."""
    device = next(iter(net.weights.values())).device
    x = torch.randn(batch_size, *net.architecture.shape, device=device)
    before = torch.cuda.memory_reserved(device)
    pool = torch.cuda.graph_pool_handle()
    captured = [_captured(net.program(subnet), x, pool) for subnet in subnets]
    grown = torch.cuda.memory_reserved(device) - before

    def replay(graph: torch.cuda.CUDAGraph) -> Run:
        def run() -> None:
            graph.replay()
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


def _captured(program: Program, x: torch.Tensor, pool: Any) -> torch.cuda.CUDAGraph:
    stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(x.device))
    with torch.inference_mode():
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                program(x)
        torch.cuda.current_stream(x.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            program(x)
    return graph
