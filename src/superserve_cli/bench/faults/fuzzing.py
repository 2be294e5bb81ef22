"""Malformed requests by the thousand, on every way into the server and between its processes."""

import asyncio
from collections import Counter
from typing import Final

from superserve_cli.bench.faults import fuzz_http, fuzz_rpc, fuzz_slots, wire
from superserve_cli.bench.faults.running import Running, sleepers
from superserve_cli.bench.faults.stage import ANSWERED, REFUSED, Stage, plain_profile
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.sleeping_server import Sleepers

LATENCY_MS: Final = 1
SLO_US: Final = 20_000_000
CLIENTS: Final = 16
SHOWN: Final = 3


def fuzzing(stage: Stage) -> list[Figure]:
    """The server lives, says what is wrong, and serves on."""
    room = stage.room("fuzzing")
    requests, calls, frames = (2000, 500, 300) if stage.quick else (20_000, 5000, 2000)
    with sleepers(room, Sleepers(2, plain_profile(room, LATENCY_MS), slo_ms=1000)) as server:
        before = server.workers()
        answers, wrong = asyncio.run(fuzz_http.fuzz(server, requests))
        codes, wrong_codes = asyncio.run(fuzz_rpc.fuzz_messages(server, calls))
        ends = asyncio.run(fuzz_rpc.fuzz_frames(server, frames))
        good = asyncio.run(_good(server))
        lost = len(before.items() ^ server.workers().items())
        server.stop()
        said, restarts = server.complaints(), server.log.read_text(errors="replace").count("event=grpc_restart")
    stage.complaints.extend([*wrong[:SHOWN], *wrong_codes[:SHOWN], *said[:SHOWN]])
    return [
        Figure("fuzz_http", "mutated HTTP requests", requests, ""),
        Figure("fuzz_http_refused", "... refused: 4xx (or 501, 503, 504), and a reason", answers[fuzz_http.CLIENT_ERROR], ""),
        Figure("fuzz_http_harmless", "... that were good requests still", answers[fuzz_http.HARMLESS], ""),
        Figure("fuzz_http_waits", "... that were not whole", answers[fuzz_http.WAITS], ""),
        Figure("fuzz_http_closed", "... closed without a word", answers[fuzz_http.CLOSED], "", 0),
        Figure("fuzz_http_wrong", "... answered with anything else", answers[fuzz_http.WRONG], "", 0),
        Figure("fuzz_rpc", "mutated gRPC messages", calls, ""),
        Figure("fuzz_rpc_refused", "... answered with a client's error", calls - codes["OK"] - len(wrong_codes), ""),
        Figure("fuzz_rpc_wrong", "... answered with anything else", len(wrong_codes), "", 0),
        Figure("fuzz_frames", "mutated gRPC connections", frames, ""),
        Figure("fuzz_frames_closed", "... that the server closed", frames - ends["left open"], ""),
        Figure("fuzz_frames_restarts", "... after which the gRPC door was opened anew", restarts, ""),
        Figure("fuzz_good", "good requests answered afterwards, over HTTP and gRPC", good, "", 2, at_least=True),
        Figure("fuzz_workers_lost", "... workers lost", lost, "", 0),
        Figure("fuzz_log", "... lines of the log that speak of a bug", len(said), "", 0),
        *_slots(stage),
    ]


async def _good(server: Running) -> int:
    connection = await wire.Wire.to(server.port)
    (reply,) = await connection.ask(wire.binary(server.model, SLO_US))
    connection.close()
    codes, _ = await fuzz_rpc.ask(server, [fuzz_rpc.message(server.model)])
    return (reply.status == 200) + codes["OK"]


def _slots(stage: Stage) -> list[Figure]:
    room = stage.room("slots")
    messages, processes, requests = (20_000, 3, 2000) if stage.quick else (200_000, 20, 30_000)
    malformed, wrong = fuzz_slots.fuzz_messages(messages)
    profile = plain_profile(room, LATENCY_MS)
    refused, took = fuzz_slots.fuzz_children(profile, processes)
    with sleepers(room, Sleepers(4, profile, slo_ms=20_000, mad=3)) as server:
        answers = asyncio.run(_many(server, requests))
        said = server.metrics()
        stage.close(server, answers)
    losses = {name: count for name, count in said.items() if name.startswith("superserve_worker_losses_total")}
    ended = sum(count for name, count in losses.items() if "malformed" in name)
    return [
        Figure("slots_messages", "mutated messages between router and worker", 3 * messages, ""),
        Figure("slots_malformed", "... refused as malformed", malformed, ""),
        Figure("slots_wrong", "... believed although they cannot be", wrong, "", 0),
        Figure("slots_children", "worker processes that are sent nonsense", processes, ""),
        Figure("slots_children_refused", "... that refused it and ended", refused, ""),
        Figure("slots_children_took", "... for which it was a job still", took, ""),
        Figure("mad_requests", "requests to one sound worker and three that babble", requests, ""),
        Figure("mad_answered", "... answered", answers[ANSWERED], ""),
        Figure("mad_refused", "... refused, as two workers were lost with them", answers[REFUSED], ""),
        Figure("mad_malformed", "... lives of workers that were ended as malformed", ended, ""),
        Figure("mad_unanswered", "... without any answer", requests - answers.total(), "", 0),
    ]


async def _many(server: Running, requests: int) -> Counter[str]:
    """So many good requests, one after the other on each of some connections."""
    found, message = Counter[str](), wire.binary(server.model, SLO_US)

    async def client() -> None:
        connection = await wire.Wire.to(server.port)
        for _ in range(requests // CLIENTS):
            (reply,) = await connection.ask(message)
            found[ANSWERED if reply.status == 200 else REFUSED] += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return found
