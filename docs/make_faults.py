"""Writes docs/faults.md from what `superserve bench faults --json` says: `python docs/make_faults.py FILE`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).with_name("faults.md")
INTRODUCTION: Final = """# What goes wrong, and what becomes of the requests

<!-- Written by `make chaos`. Change docs/make_faults.py or the scenarios, not this file. -->

    superserve bench faults --json > faults.json && python docs/make_faults.py faults.json

which is `make chaos`. Every scenario starts servers of its own, as real processes, and does to them what its name says. Most workers
sleep as long as a profile says (`modelled`, which nobody measured, or one of a single subnet), so that two cores suffice for eight of
them; two really compute. The load is open-loop and bursty, and judged by the client's clock from the intended arrival. A row without a
target says how much was tried.
"""
QUICK: Final = """
## This run

was `superserve bench faults --quick`, in which workers are killed every 2 s instead of every 12 s, and less is sent. `make chaos`
measures all of it.
"""
MACHINE: Final = "\nMeasured on {processor}, {cores} cores, Python {python}.\n"
SECTIONS: Final = (
    (
        ("kill_",),
        "Workers are killed",
        (
            "SIGKILL to one of eight workers after the other, down to half of them, under bursty load. Whoever comes to take the "
            "place of a killed one is killed as well, until the load is over. A batch that a worker loses waits again, if its "
            "deadline allows. Capacity is made up for with accuracy: the server answers from smaller subnets. Then all may come "
            "back; how long that takes is up to the back-off, half a second after the first loss and 30 s after many."
        ),
    ),
    (
        ("hang_",),
        "A worker hangs",
        (
            "SIGSTOP to a worker with a batch. Nothing but the watchdog can see that: after ten times its plan, and at least "
            "three seconds (`serve --hung-ms`), the worker is killed and replaced, and its batch given to another. Requests with a short "
            "SLO are lost with it; patient ones are not."
        ),
    ),
    (
        ("slow_",),
        "A worker becomes slow",
        (
            "One of four workers takes three times as long as its profile says, from the beginning; once with the drift guard, "
            "once with `--no-drift-guard`."
        ),
    ),
    (
        ("router_",),
        "The router is killed",
        (
            "SIGKILL to the router while all of its clients wait. They see a broken connection; workers, shared memory and port "
            "are free at once. To serve again takes what starting Python and the workers takes."
        ),
    ),
    (
        ("full_",),
        "The queue is full",
        "More than ten times what the workers can do. Who finds no place gets 503 and a computed Retry-After.",
    ),
    (
        ("vanish_",),
        "Clients vanish",
        ("They hang up, half of them with a reset, in the middle of a body; or while they wait for an answer, over HTTP and over gRPC."),
    ),
    (
        ("fuzz_", "slots_", "mad_"),
        "Malformed requests",
        (
            "Mutations of good requests (JSON, binary, chunked, compressed, pipelined, shared memory): bytes flipped, removed, "
            "repeated, cut off, spliced. Each is followed by a good question on the same connection, so a server that has nothing "
            "to say still waits for the rest of a body. The same for gRPC messages, for the bytes of a gRPC connection, and for "
            "the messages between router and workers. One gRPC call whose path is no text ends the server of the gRPC library; it "
            "is opened anew within a fraction of a second, and HTTP does not notice."
        ),
    ),
    (
        ("soak_",),
        "A million requests",
        (
            "JSON, binary, malformed, for an unknown model, too large, cancelled. Resident memory is sampled a hundred times; a "
            "line is fitted to what comes after the first third."
        ),
    ),
    (
        ("sent", "differences", "complaints"),
        "Everything is accounted for",
        "What clients counted (answers, 504, other refusals) beside the server's metrics and, where it kept one, its ledger.",
    ),
)


def page(measured: dict[str, Any]) -> str:
    """The whole page; ends with a complaint where a figure has no place in it."""
    placed = tuple(prefix for prefixes, *_ in SECTIONS for prefix in prefixes)
    if homeless := [key for key in measured["rows"] if not key.startswith(placed)]:
        raise SystemExit(f"no section has a place for {', '.join(homeless)}")
    return (
        INTRODUCTION + MACHINE.format(**measured["machine"]) + "".join(_sections(measured["rows"])) + (QUICK if measured["quick"] else "")
    )


def _sections(rows: dict[str, list[str]]) -> Iterator[str]:
    for prefixes, title, text in SECTIONS:
        found = [row for key, row in rows.items() if key.startswith(prefixes)]
        lines = "".join(f"| {' | '.join(cell.strip() for cell in row)} |\n" for row in found)
        yield f"\n## {title}\n\n{text}\n\n| | measured | target | |\n|---|--:|--:|---|\n{lines}"


if __name__ == "__main__":
    TARGET.write_text(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), encoding="utf-8")
