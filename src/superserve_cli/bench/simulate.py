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
REPEATS: Final = 3
MID: Final = 0.5
LOADS: Final = (0.05, 0.3, MID, 0.9, 1.5, 3.0, 7.0)
"""Relative to what the median subnet sustains: 0.05 runs batches of one; 7.0 is 3 times what the fastest subnet sustains."""
LATE: Final = ("drop", "shed", "serve")
MID_POLICY, MID_RULE = "slackfit", "shed"
TABLES: Final = ("slackfit", "max-batch", "max-accuracy", "price", "infaas")
LOOPS: Final = ("clipper-aimd", "clockwork", "proteus", "nexus", "alpaserve", "switching")
AT_MID: Final = len(LOADS) * len(LATE)
"""The cells of the first table policy, which are shown one by one."""
Cell = tuple[str, float, str]
"""(policy, load, late rule)."""
SLO_NS: Final = ms_to_ns(36)


def simulate(progress: Progress) -> list[Figure]:
    """Simulated requests per second over table policies, loads and late rules, and with control loops; memory, and SimPy beside them."""
    simulator.warm_up()
    memory = _peak_bytes_per_request()
    cells = [(policy, load, late) for policy in TABLES for load in LOADS for late in LATE]
    loops = [(policy, load, MID_RULE) for policy in LOOPS for load in LOADS]
    speeds: dict[Cell, float] = {}
    for done, cell in enumerate(cells + loops):
        progress(done, len(cells + loops) + 1, "{}, load {:g}, late rule {}".format(*cell))
        speeds[cell] = _speed(*cell)
    progress(len(cells + loops), len(cells + loops) + 1, "SimPy")
    peer = _peer()
    progress(len(cells + loops) + 1, len(cells + loops) + 1, "")
    mid = speeds[MID_POLICY, MID, MID_RULE]
    return [
        Figure("requests_per_s", f"simulated requests/s at mid-load ({MID_POLICY})", mid, "/s", 10e6, at_least=True),
        _slowest("requests_per_s_worst", "... of any table policy at any load", cells, speeds, 5e6),
        _slowest("requests_per_s_control_loop", "... of any with a memory at any load", loops, speeds, 0.2e6),
        memory,
        peer,
        *(_slowest(f"requests_per_s_{p}", f"{p}, at its worst", [c for c in speeds if c[0] == p], speeds) for p in TABLES + LOOPS),
        *(
            Figure(f"requests_per_s_{load:g}_{late}", f"{p}, load {load:g}, {late}", speeds[p, load, late], "/s")
            for p, load, late in cells[:AT_MID]
        ),
    ]


def _slowest(key: str, what: str, cells: list[Cell], speeds: dict[Cell, float], target: float | None = None) -> Figure:
    worst = min(cells, key=lambda cell: speeds[cell])
    return Figure(key, "{} ({}, {:g}, {})".format(what, *worst), speeds[worst], "/s", target, at_least=True)


def _work(requests: int, policy: str, load: float, late: str) -> Callable[[], Outcomes]:
    arrived, served, decides = trace(requests, load), profile(), named(policy)
    return lambda: simulator.simulate(arrived, served, decides, workers=WORKERS, slo_ns=SLO_NS, late=late)


def _speed(policy: str, load: float, late: str) -> float:
    return REQUESTS / median_s(_work(REQUESTS, policy, load, late), REPEATS)


def _peak_bytes_per_request() -> Figure:
    """Peak resident memory above the process with everything imported and compiled, trace and outcomes included."""
    what = "peak memory per request"
    try:
        gc.collect()
        before = _status_kib("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak, see proc(5)
        _work(REQUESTS, MID_POLICY, MID, MID_RULE)()
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
    seconds = median_s(lambda: in_simpy.simulate(arrived, profile(), named(MID_POLICY), WORKERS, SLO_NS), 3)
    return Figure("simpy_requests_per_s", what, PEER_REQUESTS / seconds, "/s")
