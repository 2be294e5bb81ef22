"""The process around one worker: `python -m superserve_cli.serving.workers.child SOCKET MEMORY`, both inherited descriptors."""

import signal
import socket
import sys
import time
from importlib import import_module
from typing import Any, Final

from superserve_cli.core.nouns import Worker
from superserve_cli.errors import SuperserveError, Unknown
from superserve_cli.serving.model import Hello, Model
from superserve_cli.serving.workers.messages import DONE, JOB, MOST_BYTES, READY, Area, Complaint, Order, Plan, encode_hello

OTHER_PROFILE: Final = "profile what is served: `superserve profile SUPERNET --out FILE`, then `--profile FILE`"


def main(control: socket.socket, memory: int) -> None:
    """Make the worker that the router orders, warm it up, and run batches until the router is gone."""
    try:
        worker, model = _made(Order.decode(control.recv(MOST_BYTES)))
        control.send(encode_hello(Hello(model, worker.describe())))
        if not (message := control.recv(MOST_BYTES)):
            return
        plan = Plan.decode(message)
        _warm(worker, plan)
    except SuperserveError as error:
        control.send(Complaint(str(error), error.hint).encode())
        return
    control.send(READY)
    _work(control, worker, plan, Area(memory, plan))


def _warm(worker: Worker, plan: Plan) -> None:
    try:
        worker.warm_up(plan.subnets, plan.batch_sizes)
    except Unknown as error:
        raise SuperserveError(f"{error}, which the profile serves", hint=OTHER_PROFILE) from error


def _made(order: Order) -> tuple[Worker, Model]:
    module, _, function = order.make.partition(":")
    made: tuple[Worker, Model] = getattr(import_module(module), function)(**order.arguments)
    return made


def _work(control: socket.socket, worker: Worker, plan: Plan, area: Area) -> None:
    while job := control.recv(JOB.size):
        subnet, rows = JOB.unpack(job)
        begun = time.monotonic_ns()
        logits = worker.infer(plan.subnets[subnet], area.inputs[:rows])
        area.logits[:rows] = logits
        control.send(DONE.pack(begun, time.monotonic_ns() - begun))


def _run(arguments: list[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the router decides when to stop
    try:
        main(socket.socket(fileno=int(arguments[0])), int(arguments[1]))
    except (BrokenPipeError, ConnectionResetError):  # the router is gone
        sys.exit(1)


if __name__ == "__main__":
    _run(sys.argv[1:])
