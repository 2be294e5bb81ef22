"""Nonsense between a router and its workers: every message is taken for what it is, or refused as malformed."""

import os
import socket
import subprocess
import sys
from random import Random
from typing import Final

from superserve_cli.bench.faults.mutate import mutated
from superserve_cli.serving.model import Hello, Model
from superserve_cli.serving.workers import ring
from superserve_cli.serving.workers.messages import READY, Malformed, Order, Plan, decode_hello, encode_hello
from superserve_cli.serving.workers.turns import DONE, FREE, JOB, REPORT, RouterTurns, WorkerTurns

NOW_NS: Final = 10**9
PLAN: Final = Plan(("small", "large"), (1, 2, 4), (3,), 10, slots=2)
LONGEST: Final = 64
START_S: Final = 60.0
READ: Final = 10_000


def fuzz_messages(count: int, seed: int = 3) -> tuple[int, int]:
    """Of so many messages on each of three ways, how many were malformed, and how many were believed that could not be."""
    random, malformed, wrong = Random(seed), 0, 0
    reports = [REPORT.pack(kind, slot, NOW_NS, 5, 1) for kind in (FREE, DONE) for slot in (0, 1)]
    jobs = [JOB.pack(slot, subnet, 2) for slot in (0, 1) for subnet in (0, 1)]
    hello = encode_hello(Hello(Model("net", "hash", (3,), 10), {"device": "cpu"}, 2))
    for _ in range(count):
        for believed in (_report(random, reports), _job(random, jobs), _hello(random, hello)):
            malformed += believed is None
            wrong += believed is False
    return malformed, wrong


def _report(random: Random, good: list[bytes]) -> bool | None:
    """None: malformed. True: what was believed can be."""
    turns = RouterTurns(2)
    turns.hand(0, 3, NOW_NS - 10, NOW_NS)
    try:
        done = turns.read(mutated(random, random.choice(good), good), NOW_NS + 10)
    except Malformed:
        return None
    return done is None or (done.slot, done.rows) == (0, 3)


def _job(random: Random, good: list[bytes]) -> bool | None:
    try:
        job = WorkerTurns(PLAN).read(mutated(random, random.choice(good), good))
    except Malformed:
        return None
    return job.slot == 0 and job.subnet < len(PLAN.subnets) and 1 <= job.rows <= PLAN.largest


def _hello(random: Random, good: bytes) -> bool | None:
    try:
        said = decode_hello(mutated(random, good, (good,)))
    except Malformed:
        return None
    return not isinstance(said, Hello) or (said.slots >= 1 and said.model.classes > 0)


def fuzz_children(profile: str, count: int, seed: int = 4) -> tuple[int, int]:
    """Of so many worker processes that are sent nonsense, how many refused it and ended, and how many took a job that was one."""
    random, refused, took = Random(seed), 0, 0
    jobs = [JOB.pack(0, subnet, rows) for subnet in (0, 1) for rows in (1, 4)]
    for _ in range(count):
        ended = _child(profile, mutated(random, random.choice(jobs), jobs)[:LONGEST] or b"?")
        refused += ended
        took += not ended
    return refused, took


def _child(profile: str, message: bytes) -> bool:
    """Whether a real worker process refused a message, as it must; raises Malformed when it does neither that nor answer it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    memory = ring.create(0)
    command = [sys.executable, "-m", "superserve_cli.serving.workers.child", str(theirs.fileno()), str(memory)]
    plan = Plan(("only",), (1, 2, 4), (3,), 10)
    with ours, subprocess.Popen(command, pass_fds=(theirs.fileno(), memory), stderr=subprocess.PIPE) as child:
        theirs.close()
        ours.settimeout(START_S)
        ours.send(Order("superserve_cli.serving.workers.sleep:make", {"profile": profile, "shape": [3]}).encode())
        decode_hello(ours.recv(READ))
        ring.allot(memory, plan)
        os.close(memory)
        ours.send(plan.encode())
        if ours.recv(READ) != READY:
            raise Malformed("a worker is not ready")
        ours.send(message)
        answer = ours.recv(READ)
        ours.close()
        said = child.communicate()[1]
    if answer:
        return False
    if b"Malformed" not in said or child.returncode != 1:
        raise Malformed(f"a worker ended with {child.returncode} of {message!r}: {said[-400:]!r}")
    return True
