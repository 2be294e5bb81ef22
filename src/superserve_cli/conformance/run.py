from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from superserve_cli.conformance import cases, rpc
from superserve_cli.conformance.case import Case
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.report import Report, Row
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import FAIL, Verdict
from superserve_cli.core.nouns import Progress


def run(client: Client, target: Target, grpc: str | None, disturb: bool, progress: Progress) -> Report:
    """Try every case, one after the other: those over gRPC only where it is, HOST:PORT; those that take the model away for a moment
    only when they may `disturb`.
    """
    chosen: list[tuple[Case, Any]] = [(case, client) for case in cases.HTTP if disturb or not case.disturbs]
    with ExitStack() as stack:
        if grpc is not None:
            channel = stack.enter_context(rpc.opened(grpc, client.headers, client.place.tls, client.access))
            chosen += [(case, channel) for case in cases.GRPC]
        return Report(target, tuple(_judged(chosen, target, progress)))


def _judged(chosen: Sequence[tuple[Case, Any]], target: Target, progress: Progress) -> Iterator[Row]:
    for done, (case, client) in enumerate(chosen):
        progress(done, len(chosen), case.name)
        yield Row(case, _verdict(case, client, target))
    progress(len(chosen), len(chosen), "")


def _verdict(case: Case, client: Any, target: Target) -> Verdict:
    try:
        return case.judge(client, target)
    except OSError as error:
        return Verdict(FAIL, "an answer", f"no connection: {error.strerror or error}")
