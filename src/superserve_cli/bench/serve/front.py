"""What the way through the server takes when the model takes nothing: HTTP, queue, decision, a worker process and back."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

import numpy as np

from superserve_cli.bench.figure import Figure
from superserve_cli.bench.serve import processes
from superserve_cli.bench.serve.sender import Sender
from superserve_cli.core.nouns import NS_PER_MS, Progress
from superserve_cli.errors import SuperserveError
from superserve_cli.serving.protocol import InferRequest, Tensor, write_request

HERE: Final = Path(__file__).parent
CONNECTIONS: Final = 32
ROUNDS: Final = 5
SECONDS: Final = 2.0
END_S: Final = 10.0
SIZES: Final = {"12kb": (3, 32, 32), "150kb": (3, 112, 112)}
"""Rows of FP32: an image of CIFAR, and one as large as 3 x 224 x 224 bytes."""
ARMS: Final = {"12kb": ("12kb", 1), "12kb_two_workers": ("12kb", 2), "150kb": ("150kb", 1)}
"""By key: the size, and how many workers share the work. With more of them batches are smaller, and cost the router more per request."""
MOST_US: Final = {"12kb": 25.0, "150kb": 90.0}
LEAST_PER_S: Final = {"12kb": 20_000.0, "150kb": 7_000.0}
MOST_P50_MS: Final = 0.5


@dataclass
class Seen:
    """What was measured of one size, a number per round."""

    cpu_us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    timer_p99_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Running:
    """A server of its own process."""

    pid: int
    address: tuple[str, int]

    def cpu_s(self) -> float:
        """The CPU time that its process has used, without that of its workers."""
        return processes.cpu_s(self.pid)


def front(progress: Progress) -> list[Figure]:
    """The router's CPU time per request, requests per second, and latency at half of them, at 12 KB and at 150 KB."""
    with ExitStack() as stack:
        servers = {key: stack.enter_context(server(SIZES[size], workers)) for key, (size, workers) in ARMS.items()}
        seen = {key: Seen() for key in ARMS}
        # the arms take turns, so that the machine's drift hits all alike
        work = [key for _ in range(ROUNDS) for key in ARMS]
        for done, key in enumerate(work):
            progress(done, len(work), f"no-op model, {key}")
            measure(servers[key], SIZES[ARMS[key][0]], seen[key])
        progress(len(work), len(work), "")
    return [figure for key in ARMS for figure in _figures(key, *ARMS[key], seen[key])]


def measure(server: Running, shape: Sequence[int], seen: Seen, seconds: float = SECONDS) -> None:
    """One round: as fast as it goes, then at half that rate beside a bare timer."""
    sender = Sender(server.address, message(shape), CONNECTIONS)
    before_s = server.cpu_s()
    answered = sender.as_fast_as_it_goes(seconds)
    seen.cpu_us.append((server.cpu_s() - before_s) / answered * 1e6)
    seen.per_s.append(answered / seconds)
    timer = subprocess.Popen([sys.executable, "-I", str(HERE / "timer.py"), str(seconds)], stdout=subprocess.PIPE, text=True)
    latency_ms = np.array(sender.at_a_rate(answered / seconds / 2, seconds)) / NS_PER_MS
    seen.p50_ms.append(float(np.percentile(latency_ms, 50)))
    seen.p99_ms.append(float(np.percentile(latency_ms, 99)))
    seen.timer_p99_ms.append(float(timer.communicate()[0]))
    sender.close()


@contextmanager
def server(shape: Sequence[int], workers: int = 1) -> Iterator[Running]:
    """A server with workers that answer at once, each a process; raises SuperserveError when it does not come up."""
    command = [sys.executable, str(HERE / "noop_server.py"), str(workers), *map(str, shape)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not (url := process.stdout.readline().strip()):
                raise SuperserveError("the server that was to be measured did not start", hint="its own output above says why")
            where = urlsplit(url)
            yield Running(process.pid, (str(where.hostname), int(where.port or 0)))
        finally:
            process.terminate()
            process.wait(END_S)


def message(shape: Sequence[int]) -> bytes:
    """One row as a binary tensor, in the HTTP request that the usual client libraries send."""
    body, header = write_request(InferRequest((Tensor("input", "FP32", np.ones((1, *shape), np.float32)),), binary_output=True))
    head = "POST /v2/models/noop/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
    return f"{head}Inference-Header-Content-Length: {header}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _figures(key: str, size: str, workers: int, seen: Seen) -> list[Figure]:
    what = f"{size}, {workers} worker{'s' * (workers > 1)}"
    return [
        Figure(f"cpu_us_{key}", f"{what}: router CPU per request", median(seen.cpu_us), "us", MOST_US[size]),
        Figure(f"requests_per_s_{key}", "... requests, as fast as it goes", median(seen.per_s), "/s", LEAST_PER_S[size], at_least=True),
        Figure(f"p50_ms_{key}", "... latency at half that load, p50", median(seen.p50_ms), "ms", MOST_P50_MS),
        Figure(f"p99_ms_{key}", "... p99", median(seen.p99_ms), "ms"),
        Figure(f"timer_p99_ms_{key}", "... a bare timer beside it, p99", median(seen.timer_p99_ms), "ms"),
    ]
