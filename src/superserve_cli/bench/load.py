"""How many requests a second one process of the load generator can send and still keep its own schedule."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np

from superserve_cli.bench.figure import Figure
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, NS_PER_US, Progress
from superserve_cli.errors import Unreachable
from superserve_cli.serving.load import LiveRun, replay
from superserve_cli.traces.trace import Trace

SLO_NS: Final = 50 * NS_PER_MS
SECONDS: Final = 2.0
TRIES: Final = 2
SEED: Final = 0
KB: Final = 1024
RATES: Final = (1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000)


class Cell(NamedTuple):
    """One wire and one size of a request's tensor, and what is aimed at."""

    scheme: str
    kilobytes: int
    target_qps: float | None


CELLS: Final = (Cell("http", 12, 20_000), Cell("http", 150, None), Cell("grpc", 12, None), Cell("grpc", 150, None))


def load(progress: Progress) -> list[Figure]:
    """The highest Poisson rate that one process holds against a sink in another (lag p99 <= 5 ms), and how late it was then."""
    figures = []
    for done, cell in enumerate(CELLS):
        progress(done, len(CELLS), f"{cell.scheme}, {cell.kilobytes} KB")
        figures += _figures(cell, *_highest(cell))
    progress(len(CELLS), len(CELLS), "")
    return figures


def _highest(cell: Cell) -> tuple[int, LiveRun | None]:
    """The last rate of the ladder before the first that was not held, and its run."""
    held: tuple[int, LiveRun | None] = 0, None
    with _sink(cell.scheme, cell.kilobytes * KB) as url:
        for rate in RATES:
            runs = (_run(url, rate) for _ in range(TRIES))
            run = next((run for run in runs if run.valid), None)
            if run is None:
                break
            held = rate, run
    return held


def _run(url: str, rate: int) -> LiveRun:
    gaps_ns = np.random.default_rng(SEED).exponential(NS_PER_S / rate, int(rate * SECONDS))
    return replay(url, Trace(np.cumsum(gaps_ns).astype(np.int64)), SLO_NS, processes=1)


def _figures(cell: Cell, rate: int, run: LiveRun | None) -> list[Figure]:
    key, what = f"{cell.scheme}_{cell.kilobytes}kb", f"{cell.scheme}, {cell.kilobytes} KB"
    note = f"{RATES[0]}/s was too much for this machine at this moment"
    lag, idle, cpu = (None, None, None) if run is None else (run.lag_p99_ns, run.idle_lag_ns, run.cpu_ns / max(1, len(run.outcomes)))
    return [
        Figure(f"{key}_qps", f"{what}: requests/s of one process", float(rate) if run else None, "/s", cell.target_qps, True, note),
        Figure(f"{key}_lag_p99_ms", "... lag p99", _scaled(lag, NS_PER_MS), "ms", note=note),
        Figure(f"{key}_idle_p99_ms", "... idle timers, p99", _scaled(idle, NS_PER_MS), "ms", note=note),
        Figure(f"{key}_cpu_us", "... CPU time per request", _scaled(cpu, NS_PER_US), "us", note=note),
    ]


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


@contextmanager
def _sink(scheme: str, size: int) -> Iterator[str]:
    command = [sys.executable, "-m", "superserve_cli.bench.sink", scheme, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or not (port := process.stdout.readline().strip()):
            raise Unreachable("the sink does not start", hint="see what it says above")
        yield f"{scheme}://127.0.0.1:{port}"
