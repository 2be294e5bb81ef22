"""How fast virtual time passes, how much memory it takes, and what the same work costs in SimPy."""

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from superserve_cli.bench.figure import Figure, median_s
from superserve_cli.bench.workload import WORKERS, profile, trace
from superserve_cli.core.nouns import Progress, ms_to_ns
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.engine import simulator
from superserve_cli.policies import named

REQUESTS: Final = 1_000_000
PEER_REQUESTS: Final = 20_000
REPEATS: Final = 5
MID: Final = 0.5
LOADS: Final = (0.05, 0.3, MID, 0.9, 1.5, 3.0, 7.0)
"""Relative to what the median subnet sustains: 0.05 runs batches of one; 7.0 is 3 times what the fastest subnet sustains."""
LATE: Final = ("drop", "shed", "serve")
SLO_NS: Final = ms_to_ns(36)


def simulate(progress: Progress) -> list[Figure]:
    """Simulated requests per second over loads and late rules, bytes per request, and SimPy beside them."""
    simulator.warm_up()
    memory = _peak_bytes_per_request()
    speeds: dict[tuple[float, str], float] = {}
    cells = [(load, late) for load in LOADS for late in LATE]
    for done, (load, late) in enumerate(cells):
        progress(done, len(cells) + 1, f"load {load:g}, late rule {late}")
        speeds[load, late] = _speed(load, late)
    progress(len(cells), len(cells) + 1, "SimPy")
    peer = _peer()
    progress(len(cells) + 1, len(cells) + 1, "")
    worst = min(speeds, key=lambda cell: speeds[cell])
    return [
        Figure("requests_per_s", "simulated requests/s at mid-load", speeds[MID, "shed"], "/s", 8e6, at_least=True),
        Figure("requests_per_s_worst", f"... at the worst load ({worst[0]:g}, {worst[1]})", speeds[worst], "/s", 3e6, at_least=True),
        memory,
        peer,
        *(Figure(f"requests_per_s_{load:g}_{late}", f"load {load:g}, {late}", speed, "/s") for (load, late), speed in speeds.items()),
    ]


def _work(requests: int, load: float, late: str) -> Callable[[], Outcomes]:
    arrived, served, policy = trace(requests, load), profile(), named("slackfit")
    return lambda: simulator.simulate(arrived, served, policy, workers=WORKERS, slo_ns=SLO_NS, late=late)


def _speed(load: float, late: str) -> float:
    return REQUESTS / median_s(_work(REQUESTS, load, late), REPEATS)


def _peak_bytes_per_request() -> Figure:
    """Peak resident memory above the process with everything imported and compiled, trace and outcomes included."""
    what = "peak memory per request"
    try:
        gc.collect()
        before = _status_kib("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak, see proc(5)
        _work(REQUESTS, MID, "shed")()
        return Figure("peak_bytes_per_request", what, (_status_kib("VmHWM") - before) * 1024 / REQUESTS, "bytes", 150)
    except OSError as error:
        return Figure("peak_bytes_per_request", what, None, "bytes", 150, note=f"this system does not tell: {error.strerror}")


def _status_kib(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[0])


def _peer() -> Figure:
    what = "the same work in SimPy, mid-load"
    try:
        from superserve_cli.bench import in_simpy
    except ImportError:
        return Figure("simpy_requests_per_s", what, None, "/s", note="simpy is not installed")
    arrived = trace(PEER_REQUESTS, MID)
    seconds = median_s(lambda: in_simpy.simulate(arrived, profile(), named("slackfit"), WORKERS, SLO_NS), 3)
    return Figure("simpy_requests_per_s", what, PEER_REQUESTS / seconds, "/s")
