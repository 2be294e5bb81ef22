"""Servers that are measured from outside: each a group of processes, gone to the last of them when its time is over."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.request import urlopen

from superserve_cli.errors import SuperserveError, Unreachable
from superserve_cli.serving import load, vitals

TOKEN: Final = "SUPERSERVE_BENCH"
"""An environment variable that all descendants of a server inherit, also those that have left its group."""
PATIENCE_S: Final = 90.0
"""How long a server may take to load its model: some import for many seconds."""
END_S: Final = 15.0
STEP_S: Final = 0.1
GIVE_WAY: Final = ["nice", "-n", "5"]
"""Servers are a little less urgent than the load generator, which would otherwise be late on a machine that is full."""
TAIL: Final = 300


class Running(NamedTuple):
    """A server: its first process, and what all of its processes have in their environment."""

    pid: int
    token: str

    def cpu_s(self) -> float:
        """The CPU time that its processes have used so far."""
        return sum(map(cpu_s, _descendants(self.token)))

    def move_children(self, cores: set[int]) -> None:
        """Have all its processes but the first run there alone, with all of their threads."""
        for pid in _descendants(self.token):
            for thread in Path(f"/proc/{pid}/task").iterdir() if pid != self.pid else ():
                os.sched_setaffinity(int(thread.name), cores)


@contextmanager
def running(command: Sequence[str], url: str, log: Path, env: Mapping[str, str] | None = None, *, model: str) -> Iterator[Running]:
    """A server that answers at `url`; raises Unreachable with the end of its output when it does not come up."""
    token = secrets.token_hex(8)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*GIVE_WAY, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **(env or {}), TOKEN: token},
        )
    try:
        _wait(process, url, log, model)
        yield Running(process.pid, token)
    finally:
        _end(process, token)


def superserve(*arguments: object) -> list[str]:
    """The command line that runs this superserve with some arguments."""
    return [sys.executable, "-m", "superserve_cli", *map(str, arguments)]


def run(*arguments: object) -> None:
    """Run a command of this superserve to its end; raises SuperserveError with what it said when it fails."""
    done = subprocess.run(GIVE_WAY + superserve(*arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SuperserveError(f"superserve {arguments[0]} failed: {done.stderr[-TAIL:].strip()}", hint="its own message says why")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path, model: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            load.describe(url, model)
        except SuperserveError as error:  # not there, or there without its model
            if process.poll() is None and time.monotonic() < until:
                time.sleep(STEP_S)
                continue
            last = log.read_text(errors="replace")[-TAIL:].strip()
            raise Unreachable(f"the server did not come up: {last or error}", hint=f"all that it said is in {log}") from error
        return


def _end(process: "subprocess.Popen[bytes]", token: str) -> None:
    """Ask it to end, and then end whatever is left of it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    until = time.monotonic() + END_S
    while (left := [*_descendants(token)]) and time.monotonic() < until:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        time.sleep(STEP_S)
    process.wait()


def _descendants(token: str) -> Iterator[int]:
    mark = f"{TOKEN}={token}".encode()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def cpu_s(pid: int) -> float:
    """The CPU time that a process has used so far; 0 when it has ended."""
    taken = vitals.used(pid)
    return 0.0 if taken is None else taken[1]


def metric(url: str, name: str) -> float:
    """The value of a metric without labels at `/metrics` of our own server."""
    with urlopen(f"{url}/metrics") as answer:
        lines: list[str] = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
