"""Requests that no client would send, over HTTP: mutations of good ones, each on a connection of its own.

A good question follows each of them on the same connection, and asks to close it. So a server that has understood or refused the
mutation always has something to say, and one that says nothing still waits for more of a body: then the client hangs up.
"""

import asyncio
import gzip
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Final

from superserve_cli.bench.faults import wire
from superserve_cli.bench.faults.mutate import mutated
from superserve_cli.bench.faults.running import Running

TOGETHER: Final = 64
PATIENCE_S: Final = 0.5
LAST: Final = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SLO_US: Final = 1_000_000
EXPECTED: Final = frozenset((*range(400, 432), 501, 503, 504, 505))
"""What a request that makes no sense, or comes too late, may be told."""
HARMLESS, CLIENT_ERROR, WAITS, CLOSED, WRONG = "served all the same", "refused", "incomplete", "closed without a word", "wrong"


def seeds(model: str) -> tuple[bytes, ...]:
    """Good requests of every kind."""
    text, binary = wire.text(model, SLO_US), wire.binary(model, SLO_US)
    body = text.partition(wire.HEAD)[2]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:20], body[20:])) + b"0\r\n\r\n"
    path = f"/v2/models/{model}"
    chunked = f"POST {path}/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks
    region = b'{"key":"/nothing","offset":0,"byte_size":64}'
    shared = f"POST /v2/systemsharedmemory/region/r/register HTTP/1.1\r\nHost: x\r\nContent-Length: {len(region)}\r\n\r\n".encode() + region
    return (
        text,
        binary,
        chunked,
        shared,
        wire.post(model, gzip.compress(body), "Content-Encoding: gzip\r\n"),
        text + binary + text,
        *(f"GET {path}{what} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for what in ("", "/ready", "/stats", "/config", "/versions/only/ready")),
        b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    )


async def fuzz(server: Running, count: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """What became of so many mutations, and what was wrong."""
    random, good, found, wrong = Random(seed), seeds(server.model), Counter[str](), list[str]()
    turns = asyncio.Semaphore(TOGETHER)
    messages = [mutated(random, random.choice(good), good) for _ in range(count)]
    await asyncio.gather(*(_one(server, turns, message, found, wrong) for message in messages))
    return found, wrong


async def _one(server: Running, turns: asyncio.Semaphore, message: bytes, found: Counter[str], wrong: list[str]) -> None:
    async with turns:
        try:
            kind = _kind(*await _said(server, message))
        except (OSError, wire.Broken) as error:
            kind = WRONG
            wrong.append(f"{error!r} to {message[:2000]!r}")
        found[kind] += 1


async def _said(server: Running, message: bytes) -> tuple[list[wire.Reply], bool]:
    """All answers, and whether the server closed the connection."""
    connection = await wire.Wire.to(server.port)
    answers: list[wire.Reply] = []
    try:
        connection.writer.write(message + LAST)
        with suppress(TimeoutError, ConnectionResetError):
            while data := await asyncio.wait_for(connection.reader.read(wire.READ), PATIENCE_S):
                answers += connection.replies.feed(data)
                if answers and answers[-1].headers.get("connection") == "close":
                    break
            if connection.replies.rest:
                raise wire.Broken(f"half an answer: {connection.replies.rest[:80]!r}")
            return answers, True
        return answers, False
    finally:
        connection.close()


def _kind(answers: list[wire.Reply], closed: bool) -> str:
    for answer in answers:
        if answer.status >= 400:
            wire.error(answer)
            if answer.status not in EXPECTED:
                raise wire.Broken(f"status {answer.status}: {answer.body[:200]!r}")
    if any(answer.status >= 400 for answer in answers):
        return CLIENT_ERROR
    if not closed:
        return WAITS
    return HARMLESS if answers else CLOSED
