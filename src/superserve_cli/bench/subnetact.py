"""SubNetAct measured: switching, latency in place, memory, ONNX, on the shipped SuperNet and on OFA-ResNet50 with random weights.

Keys that begin with `builtin_` are of the shipped SuperNet, all others of OFA-ResNet50.
"""

import time
from typing import Final, NamedTuple

import torch

from superserve_cli import supernet
from superserve_cli.bench.actuate import extract_us, load_us, switch_us
from superserve_cli.bench.cuda_graphs import graphs
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.in_place import Compared, in_place
from superserve_cli.bench.in_runtime import in_runtime
from superserve_cli.bench.memory import Memory, curve, zoo_bytes
from superserve_cli.bench.nets import ofa_resnet50
from superserve_cli.bench.resident import growth_bytes
from superserve_cli.core.nouns import Progress
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.devices import device as device_named
from superserve_cli.supernet.devices import threads as threads_of

SUBNETS: Final = 500
COMPARED: Final = 7
ROUNDS: Final = 15
SMALL_ROUNDS: Final = 100
FEW: Final = 6
"""The number of extracted models in the paper's memory comparison (Fig. 5a)."""
IN_BATCHES: Final = 4
FEW_ROUNDS: Final = 5
BATCH: Final = 8
MB: Final = 1e6
STEPS: Final = 6


class Measured(NamedTuple):
    """The figures, and what pictures are drawn from: of OFA-ResNet50, `in_onnx` absent on a GPU."""

    figures: list[Figure]
    memory: Memory
    in_torch: Compared
    in_onnx: Compared | None


def subnetact(progress: Progress, device: str = "cpu", threads: int | None = None) -> Measured:
    """What the paper's Fig. 5 shows, and what it costs that weights are shared. With as many threads as a worker has by default.

    Raises Unknown or BadOption for the device or the number of threads.
    """
    where = device_named(device)
    torch.set_num_threads(threads_of(threads))
    progress(0, STEPS, "the shipped SuperNet")
    figures = _builtin(supernet.load().to(where))
    progress(1, STEPS, f"OFA-ResNet50 with statistics of {SUBNETS} subnets")
    net = ofa_resnet50(SUBNETS).to(where)
    figures += _programs(net)
    progress(2, STEPS, "switching, extracting, loading")
    few = net.subnets[:COMPARED]
    figures += _actuation(net, "")
    memory = curve(net, net.subnets)
    figures += _memory(memory)
    progress(3, STEPS, "in place against extracted")
    in_torch = in_place(net, few, ROUNDS)
    figures += _latency(in_torch, "")
    progress(4, STEPS, "CUDA graphs" if where.type == "cuda" else "ONNX Runtime")
    on_gpu = where.type == "cuda"
    in_ort = None if on_gpu else in_runtime(net, few, ROUNDS)
    figures += _graphs(net) if in_ort is None else [*_onnx(in_ort), _onnx_in_batches(net)]
    progress(STEPS, STEPS, "")
    return Measured(figures, memory, in_torch, in_ort)


def _builtin(net: SuperNet) -> list[Figure]:
    memory = curve(net, net.subnets)
    ratio = Figure(
        "builtin_memory_ratio", f"shipped SuperNet: {len(net.subnets)} extracted models / SuperNet", memory.ratio(len(net.subnets)), "x"
    )
    return [*_actuation(net, "builtin_"), *_latency(in_place(net, net.front, SMALL_ROUNDS), "builtin_"), ratio]


def _name(prefix: str) -> str:
    return "shipped SuperNet: " if prefix else ""


def _actuation(net: SuperNet, prefix: str) -> list[Figure]:
    of, few = _name(prefix), net.subnets[:COMPARED]
    switch, extracted, loaded = switch_us(net, net.subnets), extract_us(net, few), load_us(net, few)
    return [
        Figure(f"{prefix}actuation_us", f"{of}switch to another subnet", switch, "us", 1),
        Figure(f"{prefix}extract_us", f"{of}extract it into a module", extracted, "us"),
        Figure(f"{prefix}load_us", f"{of}load its checkpoint (torch.load, from memory)", loaded, "us"),
        Figure(f"{prefix}extract_ratio", f"{of}extract / switch", extracted / switch, "x"),
        Figure(f"{prefix}load_ratio", f"{of}load / switch", loaded / switch, "x"),
    ]


def _latency(compared: Compared, prefix: str) -> list[Figure]:
    of, figures = _name(prefix), []
    for way, target in (("views", 1.10), ("packed", 1.02)):
        ratios = compared.ratios(way, "extracted")
        key, what = f"{prefix}inplace_ratio_{way}", f"{of}latency in place ({way}) / extracted, median of {len(ratios)} subnets"
        figures += [Figure(key, what, compared.ratio(way, "extracted"), "x", target)]
        figures += [Figure(f"{key}_worst", f"{of}... of the worst of them", max(ratios), "x")]
    return figures


def _programs(net: SuperNet) -> list[Figure]:
    begun = time.perf_counter()
    grown = growth_bytes(lambda: [net.program(subnet) for subnet in net.subnets])
    seconds = time.perf_counter() - begun
    return [
        Figure("programs_500_s", f"build {SUBNETS} programs", seconds, "s", 5),
        Figure("programs_500_mb", "... growth of the process while building them", grown / MB, "MB"),
    ]


def _memory(memory: Memory) -> list[Figure]:
    shared = memory.shared[-1] / MB
    return [
        Figure("memory_shared_500_mb", f"SuperNet and statistics of {SUBNETS} subnets", shared, "MB"),
        Figure("memory_extracted_500_mb", f"{SUBNETS} extracted models", memory.extracted[-1] / MB, "MB"),
        Figure("memory_ratio_500", f"{SUBNETS} extracted models / SuperNet", memory.ratio(SUBNETS), "x", 100, at_least=True),
        Figure("memory_ratio_6", f"{FEW} extracted models / SuperNet", memory.ratio(FEW), "x"),
        Figure("zoo_mb", "ResNet-18, 34, 50 and 101", zoo_bytes() / MB, "MB"),
        Figure("zoo_ratio_500", f"... / SuperNet with {SUBNETS} subnets", zoo_bytes() / memory.shared[-1], "x"),
    ]


def _onnx(compared: Compared) -> list[Figure]:
    return [
        Figure("onnx_ratio", "ONNX Runtime: whole SuperNet / static subnet, median", compared.ratio("whole", "static"), "x", 1.5),
        Figure("onnx_ratio_worst", "... of the worst of them", max(compared.ratios("whole", "static")), "x"),
        Figure("onnx_torch_ratio", "static subnet in ONNX Runtime / PyTorch in place", compared.ratio("static", "torch"), "x"),
    ]


def _onnx_in_batches(net: SuperNet) -> Figure:
    compared = in_runtime(net, net.subnets[:IN_BATCHES], FEW_ROUNDS, BATCH)
    return Figure(
        f"onnx_ratio_{BATCH}", f"whole SuperNet / static subnet in batches of {BATCH}, median", compared.ratio("whole", "static"), "x"
    )


def _graphs(net: SuperNet) -> list[Figure]:
    taken = graphs(net, net.subnets[:COMPARED], BATCH, ROUNDS)
    return [
        Figure("graph_ratio", f"CUDA graph / launches, batches of {BATCH}", taken.compared.ratio("graph", "views"), "x"),
        Figure("graphs_mb", f"memory of {COMPARED} graphs and their pool", taken.bytes / MB, "MB"),
    ]
