"""Several processes that share a schedule: each sends every n-th request, on one clock, and all fill one ledger."""

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Connection, wait
from time import monotonic, monotonic_ns
from typing import Any, Final

import numpy as np

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, NS_PER_US
from superserve_cli.serving.load.ledger import Ledger
from superserve_cli.serving.load.pace import Clock, quiet
from superserve_cli.serving.load.sender import Part, Sender, Sent, Tell
from superserve_cli.traces.trace import Trace

FIXED_NS: Final = 40 * NS_PER_US
PER_BYTE_NS: Final = 0.3
"""What a request costs the process that sends it (`superserve bench load`), on a machine that has other work to do."""
BUSY: Final = 0.5
"""The share of its time that a process may be busy, on average over the trace's fullest second."""
CHILD: Final = "superserve_cli.serving.load.child"
SOON_NS: Final = 50 * NS_PER_MS
PREPARED_S: Final = 120.0
FINISHED_S: Final = 60.0
"""How long after the last grace a process may take to hand its book over."""


def enough(trace: Trace, bytes_each: float) -> int:
    """How many processes keep the schedule of a trace: one, unless its fullest second is too much for it; never more than cores."""
    if not len(trace):
        return 1
    fullest = int(np.bincount(trace.arrival_ns // NS_PER_S).max())
    load = fullest * (FIXED_NS + PER_BYTE_NS * bytes_each) / NS_PER_S
    return max(1, min(math.ceil(load / BUSY), os.cpu_count() or 1))


class Shares:
    """What the processes have said so far of how far they are; `ledger` is filled as they end."""

    def __init__(self, ledger: Ledger, processes: int, tell: Tell) -> None:
        self.ledger = ledger
        self.sent: list[Sent] = []
        self.died: list[int] = []
        self._told = [(0, 0)] * processes
        self._tell = tell

    def told(self, index: int, ended: int, met: int) -> None:
        """One process is so far."""
        self._told[index] = ended, met
        self._tell(sum(ended for ended, _ in self._told), sum(met for _, met in self._told))

    def handed_in(self, index: int, sent: Sent) -> None:
        """One process has ended."""
        self.sent.append(sent)
        self.ledger.enter(slice(index, None, len(self._told)), sent.page)


def send(part: Part, ledger: Ledger, processes: int, tell: Tell) -> tuple[Shares, int, Clock]:
    """Send a part from several processes; what they say, the worst of their idle timers' p99 (ns), and the clock they all had.

    One that dies, or does not come to its end, leaves its requests open in the ledger and stands in `died` by its exit code.
    """
    shares = Shares(ledger, processes, tell)
    children = [_Child(part.every(first, processes)) for first in range(processes)]
    try:
        idle_ns = _prepared(children, shares)
        clock = Clock(monotonic_ns() + SOON_NS)
        for child in children:
            child.say(clock.origin_ns)
        last_ns = max(ledger.deadlines_ns, default=0) + SOON_NS
        _heard(children, shares, monotonic() + last_ns / NS_PER_S + part.grace_s + FINISHED_S)
        shares.died += [child.buried() for child in children if child.open]
    finally:
        for child in children:
            child.buried()
    return shares, idle_ns, clock


class _Child:
    """A process that sends, at the other end of a private socket."""

    def __init__(self, part: Part) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", CHILD, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        self.wire = Connection(ours.detach())
        self.open = True
        self.say(part)

    def say(self, what: object) -> None:
        """Send it something; whether it is dead shows when it is heard."""
        try:
            self.wire.send(what)
        except OSError:
            self.open = False

    def hear(self) -> tuple[Any, ...] | None:
        """What it says, None when it is over."""
        try:
            said: tuple[Any, ...] = self.wire.recv()
        except (EOFError, OSError):
            return None
        return said

    def buried(self) -> int:
        """Its exit code; it is killed if it still runs."""
        self.open = False
        self.wire.close()
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()


def _prepared(children: Sequence[_Child], shares: Shares) -> int:
    """Wait until all are ready; the worst of their idle timers."""
    idle_ns, end = 0, monotonic() + PREPARED_S
    for child in children:
        said = child.hear() if child.open and child.wire.poll(max(0.0, end - monotonic())) else None
        if said is None:
            shares.died.append(child.buried())
        else:
            idle_ns = max(idle_ns, said[0])
    return idle_ns


def _heard(children: Sequence[_Child], shares: Shares, end: float) -> None:
    """Listen to all, until each has handed in its book or died."""
    index = {child.wire: i for i, child in enumerate(children) if child.open}
    while index and (ready := wait(list(index), max(0.0, end - monotonic()))):
        for wire in ready:
            i = index[wire]  # type: ignore[index]  # `wait` gives back what it was given
            said = children[i].hear()
            if said is not None and len(said) == 2:
                shares.told(i, *said)
                continue
            del index[wire]  # type: ignore[arg-type]  # as above
            if said is None:
                shares.died.append(children[i].buried())
            else:
                shares.handed_in(i, said[0])
                children[i].open = False


def serve(number: int) -> None:
    """What a child does: prepare, wait for the clock, send, hand in the book. It ends when the other side does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    wire = Connection(number)
    with suppress(EOFError, ConnectionError):  # the parent has gone: nobody wants to know
        sender = Sender(wire.recv())
        with closing(sender.pool), quiet():
            wire.send((sender.prepare(),))
            sent = sender.run(Clock(wire.recv()), lambda ended, met: wire.send((ended, met)))
        wire.send((sent,))
