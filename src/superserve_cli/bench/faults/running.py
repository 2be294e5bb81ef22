"""A server in a process of its own, looked at from outside: its address, its workers, its metrics, its memory, its log."""

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from superserve_cli.bench import sleeping_server
from superserve_cli.bench.sleeping_server import Sleepers
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.errors import SuperserveError

SLEEPING: Final = Path(sleeping_server.__file__)
CHILD: Final = b"superserve_cli.serving.workers.child"
SAYS: Final = re.compile(r"serving (?P<model>\S+) on (?P<url>http://[^ ]+:(?P<port>\d+))(?: and grpc://(?P<grpc>\S+))?")
MEMORY: Final = re.compile(r"memfd:superserve_(?P<router>\d+)_(?P<worker>\d+)")
ENDS_S: Final = 45.0
LOOK_S: Final = 10.0
STEP_S: Final = 0.01
WRONG: Final = ("Traceback", "handler_failed", "Exception in callback", "exception was never retrieved", "Unhandled")
"""What a log must not say."""


@dataclass(frozen=True)
class Running:
    """A server of its own process."""

    process: "subprocess.Popen[str]"
    model: str
    url: str
    port: int
    grpc: str
    log: Path
    opened_ns: int

    @property
    def pid(self) -> int:
        """The router's process."""
        return self.process.pid

    def workers(self) -> dict[int, int]:
        """The worker processes that run now, by worker."""
        found = {}
        for pid in children(self.pid):
            with suppress(OSError, StopIteration):
                if CHILD in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found[_worker(pid)] = pid
        return found

    def metrics(self) -> dict[str, float]:
        """What `/metrics` says, by name and labels: `superserve_requests_total{met}`."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=LOOK_S) as answer:
            text = answer.read().decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {_key(sample.name, sample.labels): sample.value for sample in samples}

    def counts(self) -> dict[str, int]:
        """Requests by what became of them, as the server counts them."""
        said = self.metrics()
        return {status: int(said[f"superserve_requests_total{{{status}}}"]) for status in STATUSES}

    def rss_bytes(self) -> int:
        """The memory of the router."""
        return rss_bytes(self.pid)

    def files(self) -> int:
        """Its open files."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def complaints(self) -> list[str]:
        """Lines of its log that speak of a bug."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if any(word in line for word in WRONG)]

    def serves(self) -> bool:
        """Whether it is ready."""
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=LOOK_S) as answer:
            return bool(answer.status == 200)
        return False

    def stop(self) -> int:
        """Have it drain and end; its exit code."""
        self.process.terminate()
        return self.process.wait(ENDS_S)


@contextmanager
def sleepers(folder: Path, asked: Sleepers) -> Iterator[Running]:
    """A server of sleepers, its log in the folder; raises SuperserveError when it does not come up."""
    with running([sys.executable, str(SLEEPING), dumps(asdict(asked))], folder) as server:
        yield server


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[Running]:
    """A server that prints where it is; it is ended at the end, if it still runs. Raises SuperserveError when it does not come up."""
    log = folder / "server.log"
    with log.open("a") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            assert process.stdout is not None
            if (said := SAYS.match(process.stdout.readline())) is None:
                raise SuperserveError("a server did not start", hint=log.read_text(errors="replace")[-1000:] or "it said nothing")
            where = said["model"], said["url"], int(said["port"]), said["grpc"] or ""
            yield Running(process, *where, log, time.monotonic_ns())
        finally:
            process.terminate()
            try:
                process.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                process.kill()


def until(true: Callable[[], bool], patience_s: float) -> float:
    """How many seconds something takes to come true, looking again and again; more than the patience where it does not."""
    begun = time.monotonic()
    while not true() and time.monotonic() - begun <= patience_s:
        time.sleep(STEP_S)
    return time.monotonic() - begun


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for somebody to ask how it ended does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """The processes that a process has started and that run."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def rss_bytes(pid: int) -> int:
    """The memory of a process, less what it shares through files."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024


def memories(router: int) -> int:
    """How many descriptors of a router's shared memory any process still holds."""
    found = 0
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            found += f"memfd:superserve_{router}_" in str(descriptor.readlink())
    return found


def _worker(pid: int) -> int:
    """Which worker a process is, by the name of its memory."""
    named = (MEMORY.search(str(descriptor.readlink())) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    return next(int(match["worker"]) for match in named if match)


def _key(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(labels.values())}}}" if labels else name
