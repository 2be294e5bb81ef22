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
GRACE_S: Final = 0.5
SEED: Final = 0
KB: Final = 1024
RATES: Final = (50_000, 40_000, 30_000, 25_000, 20_000, 15_000, 10_000, 8_000, 6_000, 4_000, 2_000, 1_000)


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
        with sink(cell.scheme, cell.kilobytes * KB) as url:
            figures += told(cell, *_highest(url))
    progress(len(CELLS), len(CELLS), "")
    return figures


def _highest(url: str) -> tuple[int | None, LiveRun]:
    """The highest rate of the ladder that is held, None where not even the lowest is, and the run that showed it."""
    for rate in (rate for rate in RATES for _ in range(TRIES)):
        run = _run(url, rate)
        if run.valid:
            return rate, run
    return None, run


def _run(url: str, rate: int) -> LiveRun:
    gaps_ns = np.random.default_rng(SEED).exponential(NS_PER_S / rate, int(rate * SECONDS))
    return replay(url, Trace(np.cumsum(gaps_ns).astype(np.int64)), SLO_NS, processes=1, grace_s=GRACE_S)


def told(cell: Cell, rate: int | None, run: LiveRun) -> list[Figure]:
    """A rate is absent where none was held; what a request costs is known all the same."""
    key, what = f"{cell.scheme}_{cell.kilobytes}kb", f"{cell.scheme}, {cell.kilobytes} KB"
    note = "none: see the idle timers"
    held = None if rate is None else float(rate)
    return [
        Figure(f"{key}_qps", f"{what}: requests/s of one process", held, "/s", cell.target_qps, at_least=True, note=note),
        Figure(f"{key}_lag_p99_ms", "... lag p99", run.lag_p99_ns / NS_PER_MS, "ms"),
        Figure(f"{key}_idle_p99_ms", "... idle timers, p99", run.idle_lag_ns / NS_PER_MS, "ms"),
        Figure(f"{key}_cpu_us", "... CPU time per request", run.cpu_ns / NS_PER_US / len(run.outcomes), "us"),
    ]


@contextmanager
def sink(scheme: str, size: int) -> Iterator[str]:
    """The URL of a sink whose model takes so many bytes; raises Unreachable."""
    command = [sys.executable, "-m", "superserve_cli.bench.sink", scheme, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or not (port := process.stdout.readline().strip()):
            raise Unreachable("the sink does not start", hint="see what it says above")
        yield f"{scheme}://127.0.0.1:{port}"
