"""The process around one worker: `python -m superserve_cli.serving.workers.child SOCKET MEMORY`, both inherited descriptors."""

import ctypes
import signal
import socket
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from superserve_cli.core.nouns import Worker
from superserve_cli.errors import SuperserveError, Unknown
from superserve_cli.serving.model import Hello, Model
from superserve_cli.serving.workers import ring
from superserve_cli.serving.workers.actuation import actuation_ns
from superserve_cli.serving.workers.messages import MOST_BYTES, READY, Complaint, Order, Plan, encode_hello
from superserve_cli.serving.workers.overlap import Overlap, Overlapping
from superserve_cli.serving.workers.ring import Slot
from superserve_cli.serving.workers.turns import JOB, WorkerTurns

PR_SET_PDEATHSIG: Final = 1
OTHER_PROFILE: Final = "profile what is served: `superserve profile SUPERNET --out FILE`, then `--profile FILE`"


def main(control: socket.socket, memory: int) -> None:
    """Make the worker that the router orders, warm it up, and run batches until the router is gone."""
    if not (message := control.recv(MOST_BYTES)):
        return
    try:
        worker, model = _made(Order.decode(message))
        slots = worker.slots if isinstance(worker, Overlapping) else 1
        control.send(encode_hello(Hello(model, worker.describe(), slots)))
        if not (message := control.recv(MOST_BYTES)):
            return
        plan = Plan.decode(message)
        _warm(worker, plan)
    except SuperserveError as error:
        control.send(Complaint(str(error), error.hint).encode())
        return
    room = ring.attach(memory, plan)
    control.send(READY)
    if isinstance(worker, Overlapping):
        Overlap(control, worker, plan, room).run()
    else:
        _work(control, worker, plan, room)


def _warm(worker: Worker, plan: Plan) -> None:
    try:
        worker.warm_up(plan.subnets, plan.batch_sizes)
    except Unknown as error:
        raise SuperserveError(f"{error}, which the profile serves", hint=OTHER_PROFILE) from error


def _made(order: Order) -> tuple[Worker, Model]:
    module, _, function = order.make.partition(":")
    made: tuple[Worker, Model] = getattr(import_module(module), function)(**order.arguments)
    return made


def _work(control: socket.socket, worker: Worker, plan: Plan, slots: Sequence[Slot]) -> None:
    turns = WorkerTurns(plan)
    while message := control.recv(JOB.size + 1):
        begun_ns = time.monotonic_ns()
        job = turns.read(message)
        slot = slots[job.slot]
        slot.logits[: job.rows] = worker.infer(plan.subnets[job.subnet], slot.inputs[: job.rows])
        took_ns = time.monotonic_ns() - begun_ns
        control.send(turns.done(job, begun_ns, took_ns, actuation_ns(worker, begun_ns)))


def _die_with_the_router() -> None:
    """Whoever hangs in a batch never sees the socket closed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(arguments: list[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the router decides when to stop
    _die_with_the_router()
    try:
        main(socket.socket(fileno=int(arguments[0])), int(arguments[1]))
    except (BrokenPipeError, ConnectionResetError):  # the router is gone
        sys.exit(1)


if __name__ == "__main__":
    _run(sys.argv[1:])
