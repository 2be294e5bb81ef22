"""Scenarios with real processes, in so small that each takes seconds; and what they are made of."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.bench.faults import fuzz_http, fuzz_rpc, fuzz_slots, wire
from superserve_cli.bench.faults.full_queue import KINDS
from superserve_cli.bench.faults.mutate import mutated
from superserve_cli.bench.faults.running import Running, alive, memories, sleepers, until
from superserve_cli.bench.faults.stage import ANSWERED, GONE, LATER, REFUSED, Book, Stage, plain_profile
from superserve_cli.bench.faults.wire import Broken, Replies, Wire
from superserve_cli.bench.sleeping_server import Sleepers

SLO_US = 20_000_000
PATIENCE_S = 30.0


@contextmanager
def served(folder: Path, latency_ms: float = 1, **asked: object) -> Iterator[Running]:
    settings = {"workers": 2, "profile": plain_profile(folder, latency_ms), "slo_ms": 20_000, **asked}
    with sleepers(folder, Sleepers(**settings)) as server:  # type: ignore[arg-type]
        yield server


def talk(server: Running, *messages: bytes) -> list[wire.Reply]:
    async def run() -> list[wire.Reply]:
        connection = await Wire.to(server.port)
        answers = await connection.ask(*messages)
        connection.close()
        return answers

    return asyncio.run(run())


# with real processes


def test_a_worker_that_is_killed_and_one_that_is_stopped_cost_no_patient_request_its_answer(tmp_path: Path) -> None:
    stage, ledger = Stage(tmp_path, quick=True), tmp_path / "outcomes.parquet"
    with served(tmp_path, latency_ms=20, workers=3, hung_ms=2000, out=str(ledger)) as server:
        before = server.workers()
        os.kill(before[0], signal.SIGSTOP)
        os.kill(before[1], signal.SIGKILL)
        answers = talk(server, *[wire.binary(server.model, SLO_US)] * 40)
        assert until(lambda: server.metrics()["superserve_live_workers"] == 3, PATIENCE_S) < PATIENCE_S
        assert server.workers()[2] == before[2]
        assert not before.items() & server.workers().items() - {(2, before[2])}
        book = stage.close(server, Counter({ANSWERED: 40}), ledger)
    assert [answer.status for answer in answers] == [200] * 40
    assert (book.sent, book.differences, stage.complaints) == (40, 0, [])


def test_who_finds_no_place_is_told_when_to_come_again_and_everybody_is_accounted_for(tmp_path: Path) -> None:
    stage, ledger = Stage(tmp_path, quick=True), tmp_path / "outcomes.parquet"
    with served(tmp_path, latency_ms=50, max_queue=10, out=str(ledger)) as server:
        answers = talk(server, *[wire.text(server.model, SLO_US)] * 60)
        book = stage.close(server, Counter(KINDS[answer.status] for answer in answers), ledger)
    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 and wire.error(answer) for answer in refused)
    assert (book.sent, book.differences) == (60, 0)


def test_clients_that_hang_up_leave_nothing_behind(tmp_path: Path) -> None:
    with served(tmp_path, latency_ms=20) as server:
        talk(server, wire.binary(server.model, SLO_US))
        files = server.files()

        async def leave(message: bytes, reset: bool) -> None:
            connection = await Wire.to(server.port)
            connection.writer.write(message)
            await connection.writer.drain()
            (connection.reset if reset else connection.close)()

        async def all_of_them() -> None:
            whole = wire.binary(server.model, SLO_US)
            await asyncio.gather(*(leave(whole, reset=False) for _ in range(100)), *(leave(whole[:-5], reset=True) for _ in range(100)))

        asyncio.run(all_of_them())
        assert until(lambda: sum(server.counts().values()) == 101, PATIENCE_S) < PATIENCE_S
        assert until(lambda: server.files() <= files, PATIENCE_S) < PATIENCE_S
        said = server.metrics()
    assert (said["superserve_queue_depth"], said["superserve_pending_bytes"]) == (0, 0)


def test_malformed_requests_are_refused_and_the_server_serves_on(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        before = server.workers()
        found, wrong = asyncio.run(fuzz_http.fuzz(server, 300))
        codes, wrong_codes = asyncio.run(fuzz_rpc.fuzz_messages(server, 100))
        asyncio.run(fuzz_rpc.fuzz_frames(server, 50))
        assert [answer.status for answer in talk(server, wire.binary(server.model, SLO_US))] == [200]
        assert asyncio.run(fuzz_rpc.ask(server, [fuzz_rpc.message(server.model)])) == ({"OK": 1}, [])
        assert server.workers() == before
        server.stop()
        assert server.complaints() == []
    assert (wrong, wrong_codes) == ([], [])
    assert found[fuzz_http.CLIENT_ERROR] > found[fuzz_http.HARMLESS] > 0
    assert codes["INVALID_ARGUMENT"] > 0


def test_a_router_that_is_killed_leaves_neither_workers_nor_memory(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        workers = list(server.workers().values())
        assert memories(server.pid)
        server.process.kill()
        assert until(lambda: not any(map(alive, workers)), PATIENCE_S) < PATIENCE_S
        assert memories(server.pid) == 0


# what they are made of


@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=60))
def test_a_mutation_can_be_had_again_from_its_seed(seed: int, data: bytes) -> None:
    assert mutated(Random(seed), data, (data,)) == mutated(Random(seed), data, (data,))


@given(st.lists(st.integers(1, 30)), st.binary(max_size=20))
def test_answers_are_whole_however_their_bytes_come(cuts: list[int], body: bytes) -> None:
    said = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) * 2
    replies, found, at = Replies(), list[bytes](), 0
    for cut in [*cuts, len(said)]:
        found += [reply.body for reply in replies.feed(said[at : at + cut])]
        at += cut
    assert (found, replies.rest) == ([body, body], b"")


@pytest.mark.parametrize("said", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"nonsense\r\n\r\n"])
def test_what_is_no_answer_with_a_length_is_broken(said: bytes) -> None:
    with pytest.raises(Broken):
        list(Replies().feed(said))


def test_messages_between_router_and_worker_are_believed_only_if_they_can_be() -> None:
    malformed, wrong = fuzz_slots.fuzz_messages(500)
    assert malformed > 0
    assert wrong == 0


@pytest.mark.parametrize(
    ("client", "server", "differences"),
    [
        ({ANSWERED: 5, REFUSED: 1}, {ANSWERED: 5, REFUSED: 1, LATER: 0}, 0),
        ({ANSWERED: 5, REFUSED: 1}, {ANSWERED: 5, LATER: 1}, 1),
        ({ANSWERED: 5}, {ANSWERED: 7}, 2),
        ({ANSWERED: 5, GONE: 3}, {ANSWERED: 7, REFUSED: 1}, 0),
        ({ANSWERED: 5, GONE: 3}, {ANSWERED: 4, REFUSED: 4}, 1),
        ({ANSWERED: 5, GONE: 3}, {ANSWERED: 6, REFUSED: 1}, 1),
    ],
)
def test_books_differ_by_what_is_missing_or_too_much(client: dict[str, int], server: dict[str, int], differences: int) -> None:
    assert Book(client, server).differences == differences
