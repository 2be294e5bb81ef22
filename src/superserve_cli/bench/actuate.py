"""What switching to another subnet costs, and what people would do instead."""

import io
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

import torch

from superserve_cli import supernet
from superserve_cli.bench.figure import Figure, median_s
from superserve_cli.core.nouns import Progress, Subnet
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.extract import extract

SWITCHES: Final = 20_000
LOADS: Final = 5


def actuate(progress: Progress) -> list[Figure]:
    """On the shipped SuperNet: from one subnet to the next by reference, by building a program, by loading the file."""
    progress(0, 3, "switching between built programs")
    net = supernet.load()
    switch = Figure("actuation_us", "switch to another subnet (built program)", switch_us(net, net.subnets), "us", 5)
    progress(1, 3, "building a program")
    build = Figure("program_build_us", "build a subnet's program over views", build_us(net, net.subnets), "us")
    progress(2, 3, "loading the file")
    load = Figure("load_us", "load the SuperNet's file", median_s(supernet.load, LOADS) * 1e6, "us")
    progress(3, 3, "")
    return [switch, build, load]


def switch_us(net: SuperNet, subnets: Sequence[Subnet]) -> float:
    """The median over single switches, as a worker does them: each asks for another subnet's program than the one before."""
    for subnet in subnets:
        net.program(subnet)
    return _median_us(net.program, (subnets[i % len(subnets)] for i in range(SWITCHES)))


def build_us(net: SuperNet, subnets: Sequence[Subnet]) -> float:
    """The median time to build a program over views."""
    device = next(iter(net.weights.values())).device
    fresh = net.to(device)
    return _median_us(fresh.program, subnets)


def extract_us(net: SuperNet, subnets: Sequence[Subnet]) -> float:
    """The median time to copy a subnet out into a module of its own."""
    return _median_us(lambda subnet: extract(net, subnet), subnets)


def load_us(net: SuperNet, subnets: Sequence[Subnet]) -> float:
    """The median time to read an extracted subnet's checkpoint (`torch.load`, from memory: no disk is faster)."""
    files = {subnet: _checkpoint(net, subnet) for subnet in subnets}
    return _median_us(lambda subnet: torch.load(io.BytesIO(files[subnet]), weights_only=True), subnets)


def _checkpoint(net: SuperNet, subnet: Subnet) -> bytes:
    held = io.BytesIO()
    torch.save(extract(net, subnet).state_dict(), held)
    return held.getvalue()


def _median_us(work: Callable[[Subnet], object], subnets: Iterable[Subnet]) -> float:
    times = []
    for subnet in subnets:
        begun = time.perf_counter_ns()
        work(subnet)
        times.append(time.perf_counter_ns() - begun)
    return median(times) / 1000
