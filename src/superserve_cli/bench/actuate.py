"""What switching to another subnet costs, on the shipped SuperNet."""

import time
from statistics import median
from typing import Final

from superserve_cli import supernet
from superserve_cli.bench.figure import Figure, median_s
from superserve_cli.core.nouns import Progress
from superserve_cli.supernet import SuperNet

SWITCHES: Final = 20_000
LOADS: Final = 5


def actuate(progress: Progress) -> list[Figure]:
    """From one subnet to the next by reference, and for comparison by building a program and by loading the file."""
    progress(0, 3, "switching between built programs")
    net = supernet.load()
    switch = Figure("actuation_us", "switch to another subnet (built program)", _switch_us(net), "us", 5)
    progress(1, 3, "building a program")
    build = Figure("program_build_us", "build a subnet's program over views", _build_us(net), "us")
    progress(2, 3, "loading the file")
    load = Figure("load_us", "load the SuperNet's file", median_s(supernet.load, LOADS) * 1e6, "us")
    progress(3, 3, "")
    return [switch, build, load]


def _switch_us(net: SuperNet) -> float:
    """The median over single switches: each asks for another subnet's program than the one before."""
    subnets = [net.subnets[i % len(net.subnets)] for i in range(SWITCHES)]
    for subnet in net.subnets:
        net.program(subnet)
    times = []
    for subnet in subnets:
        begun = time.perf_counter_ns()
        net.program(subnet)
        times.append(time.perf_counter_ns() - begun)
    return median(times) / 1000


def _build_us(net: SuperNet) -> float:
    times = []
    for subnet in supernet.load().subnets:
        fresh = net.to(net.weights[next(iter(net.weights))].device)
        begun = time.perf_counter_ns()
        fresh.program(subnet)
        times.append(time.perf_counter_ns() - begun)
    return median(times) / 1000
