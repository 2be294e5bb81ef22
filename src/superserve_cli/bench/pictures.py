from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from superserve_cli.bench.in_place import Compared
from superserve_cli.bench.memory import Memory, zoo_bytes
from superserve_cli.bench.subnetact import FEW, Measured
from superserve_cli.core import figures

GB = 1e9
PAPER_RATIO = 2.6
"""SuperServe, Fig. 5a: up to so many times less memory than six extracted subnets or four hand-tuned models."""


def write_pictures(folder: Path, measured: Measured) -> list[Path]:
    """`memory.svg` and `latency.svg` of OFA-ResNet50 in a folder."""
    memory, latency = folder / "memory.svg", folder / "latency.svg"
    figures.write(memory, "Memory over the number of subnets", lambda figure: _memory(figure, measured.memory))
    figures.write(latency, "Latency over subnets", lambda figure: _latency(figure, measured.in_torch, measured.in_onnx))
    return [memory, latency]


def _memory(figure: Figure, memory: Memory) -> None:
    axes = figure.add_subplot()
    counts = range(1, len(memory.shared) + 1)
    axes.plot(counts, [b / GB for b in memory.extracted], color=figures.ORANGE, linewidth=1.8, label="extracted models")
    axes.plot(counts, [b / GB for b in memory.shared], color=figures.BLUE, linewidth=1.8, label="one SuperNet and their statistics")
    axes.axhline(zoo_bytes() / GB, color=figures.MUTED, linestyle="--", linewidth=1.2, label="ResNet-18, 34, 50 and 101")
    for count in (FEW, len(memory.shared)):
        note = f"{memory.ratio(count):.3g}x at {count}" + (f" (paper: up to {PAPER_RATIO}x)" if count == FEW else "")
        # the first note to the right of its line, below that of the zoo; the last to the left, within the picture
        right, middle = count == FEW, (memory.extracted[count - 1] * memory.shared[count - 1]) ** 0.5 / GB
        at, side = ((6, -8), "left") if right else ((-6, 0), "right")
        axes.annotate(note, (count, middle), at, textcoords="offset points", ha=side, va="center", fontsize=9)
        axes.plot([count, count], [memory.shared[count - 1] / GB, memory.extracted[count - 1] / GB], color=figures.MUTED, linewidth=0.8)
    axes.set(title="OFA-ResNet50: memory over the number of subnets", xlabel="subnets", ylabel="GB", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(loc="upper left")


def _latency(figure: Figure, torch: Compared, onnx: Compared | None) -> None:
    axes = figure.add_subplot()
    order = sorted(range(len(torch.subnets)), key=torch.medians_ms("extracted").__getitem__)
    series = [("extracted", torch, figures.MUTED, "s"), ("views", torch, figures.BLUE, "o"), ("packed", torch, figures.BLUE, "x")]
    if onnx is not None:
        series += [("static", onnx, figures.ORANGE, "s"), ("whole", onnx, figures.ORANGE, "o")]
    names = {
        "extracted": "PyTorch, extracted module",
        "views": "PyTorch, in place over views",
        "packed": "PyTorch, in place, packed",
        "static": "ONNX Runtime, static model of the subnet",
        "whole": "ONNX Runtime, whole SuperNet in one model",
    }
    for way, compared, colour, marker in series:
        medians = compared.medians_ms(way)
        axes.plot([medians[i] for i in order], marker + "-", color=colour, linewidth=1, markersize=6, label=names[way])
    axes.set(title="OFA-ResNet50: one image of 224x224", xlabel="subnets, from the smallest to the largest", ylabel="ms")
    axes.set_xticks(range(len(order)))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
