"""The load generator against a real server on a loopback port, whose answers each test decides."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from superserve_cli.core.outcomes import DROPPED, FAILED, LATE, MET, REJECTED, STATUSES, to_table
from superserve_cli.errors import BadOption
from superserve_cli.serving.load import LiveRun, replay
from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, read_request, write_response
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace

CLASSES = 10
MS = 1_000_000
SLO_NS = 5_000 * MS
"""So long that a slow machine meets it."""


@dataclass(frozen=True)
class Reply:
    """An inference of `classes` (None: what the samples say), another status, or raw bytes; sent once `after` is set."""

    status: int = 200
    classes: list[int] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    hang_up: bool = False
    after: threading.Event | None = None


Behaviour = Callable[[int, InferRequest], Reply]
"""(how many inferences were asked before, the request) -> the reply."""


@dataclass
class Server:
    behaviour: Behaviour
    binary: bool = True
    asked: list[InferRequest] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    die: Callable[[], None] = lambda: None

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = head[0].split()[1]
        if not path.endswith("/infer"):
            writer.write(http(200, json.dumps(pages(self.binary)[path]).encode()))
            return True
        length = headers.get("inference-header-content-length")
        request = read_request(body, None if length is None else int(length))
        self.asked.append(request)
        reply = self.behaviour(len(self.asked) - 1, request)
        while reply.after is not None and not reply.after.is_set():
            await asyncio.sleep(0.001)
        writer.write(said(reply, request))
        return not reply.hang_up


def said(reply: Reply, request: InferRequest) -> bytes:
    if reply.raw is not None:
        return reply.raw
    if reply.status != 200:
        return http(reply.status, json.dumps({"error": f"a reason for {reply.status}"}).encode())
    image = request.inputs[0].data
    classes = image.reshape(len(image), -1)[:, 0] if reply.classes is None else reply.classes
    logits = np.eye(CLASSES, dtype=np.float32)[np.asarray(classes, int)]
    response = InferResponse("glyphs", (Tensor("logits", "FP32", logits),), parameters=reply.parameters)
    body, length = write_response(response, [request.binary_output])
    return http(200, body, "" if length is None else f"Inference-Header-Content-Length: {length}\r\n")


def http(status: int, body: bytes, header: str = "") -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode() + body


def pages(binary: bool) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "FP32", "shape": [-1, 1, 2, 2]}
    return {
        "/v2/health/ready": {"ready": True},
        "/v2": {"name": "superserve", "version": "9", "extensions": ["binary_tensor_data"] if binary else []},
        "/v2/repository/index": [{"name": "glyphs", "state": "READY"}],
        "/v2/models/glyphs": {"name": "glyphs", "inputs": [tensor], "outputs": [], "parameters": {"policy": "slackfit", "seed": 7}},
    }


def in_time(_: int, __: InferRequest) -> Reply:
    return Reply()


def silent_for(seconds: float) -> Behaviour:
    """All answers wait until so long after the first request."""
    gate = threading.Event()

    def behaviour(i: int, _: InferRequest) -> Reply:
        if i == 0:
            threading.Timer(seconds, gate.set).start()
        return Reply(after=gate)

    return behaviour


@contextmanager
def serving(behaviour: Behaviour = in_time, binary: bool = True) -> Iterator[Server]:
    server = Server(behaviour, binary)
    listening = threading.Event()

    async def main() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def die() -> None:
            with suppress(RuntimeError):  # dead already
                loop.call_soon_threadsafe(over.set)

        listener = await asyncio.start_server(server.talk, "127.0.0.1", 0)
        server.url, server.die = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", die
        listening.set()
        await over.wait()
        loop.remove_reader(listener.sockets[0].fileno())
        for _ in range(8):  # whoever has been accepted begins to talk: what asyncio has half accepted when it closes is never closed
            await asyncio.sleep(0)
        listener.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    listening.wait()
    try:
        yield server
    finally:
        server.die()
        thread.join()


def labelled() -> Split:
    """Images whose first pixel is their class."""
    y = np.arange(CLASSES, dtype=np.int64)
    return Split(np.repeat(y.astype(np.float32), 4).reshape(CLASSES, 1, 2, 2), y)


def every_ms(n: int, **columns: Any) -> Trace:
    return Trace(np.arange(n, dtype=np.int64) * MS, **columns)


def statuses(run: LiveRun) -> list[str]:
    return [STATUSES[status] for status in run.outcomes.status]


def column(run: LiveRun, name: str) -> list[Any]:
    values: list[Any] = to_table(run.outcomes)[name].to_pylist()
    return values


def test_a_prompt_server_meets_everything_and_is_measured_on_the_samples() -> None:
    told = {"subnet": "d2", "accuracy": 0.8, "batch_size": 4, "queue_us": 5, "compute_us": 1}
    with serving(lambda _, __: Reply(parameters=told)) as server:
        run = replay(server.url, every_ms(50), SLO_NS, labelled())
    outcomes = run.outcomes
    assert statuses(run) == ["met"] * 50
    assert column(run, "correct") == [True] * 50
    assert (column(run, "subnet"), column(run, "accuracy"), column(run, "batch_size")) == (["d2"] * 50, [0.8] * 50, [4] * 50)
    assert column(run, "worker") == [None] * 50
    assert np.array_equal(outcomes.finish_ns - outcomes.start_ns, np.full(50, 1000))
    assert np.array_equal(outcomes.finish_ns, outcomes.ended_ns)
    assert np.array_equal(outcomes.deadline_ns, outcomes.arrival_ns + SLO_NS)
    assert (outcomes.lag_ns >= 0).all()
    assert (outcomes.finish_ns >= outcomes.arrival_ns + outcomes.lag_ns).all()
    assert run.idle_lag_ns >= 0
    assert run.complaints == {}


def test_the_run_knows_what_the_server_says_of_itself() -> None:
    with serving() as server:
        run = replay(server.url, every_ms(1), SLO_NS)
    assert run.server == {
        "policy": "slackfit",
        "seed": 7,
        "url": server.url,
        "model": "glyphs",
        "platform": "",
        "server": "superserve 9",
    }


def test_a_server_that_says_nothing_of_its_work_leaves_nulls() -> None:
    with serving() as server:
        run = replay(server.url, every_ms(3), SLO_NS)
    for name in ("start_ns", "subnet", "accuracy", "batch_size"):
        assert column(run, name) == [None] * 3
    assert "correct" not in run.outcomes.extra


def test_every_status_has_its_outcome() -> None:
    replies = [
        Reply(),
        Reply(504),
        Reply(503),
        Reply(400),
        Reply(404),
        Reply(500),
        Reply(raw=http(200, b"{}")),
        Reply(raw=b"nonsense\r\n\r\n"),
    ]
    with serving(lambda i, _: replies[i]) as server:
        run = replay(server.url, every_ms(len(replies)), SLO_NS, labelled(), connections=1)
    assert run.outcomes.status.tolist() == [MET, DROPPED, REJECTED, REJECTED, REJECTED, FAILED, FAILED, FAILED]
    assert column(run, "correct") == [True] + [None] * 7
    assert [finish is None for finish in column(run, "finish_ns")] == [False] + [True] * 7
    assert None not in column(run, "ended_ns")
    assert run.complaints["status 503: a reason for 503"] == 1
    assert not run.valid
    assert "3 of 8 requests failed" in run.problems[-1]


def test_an_answer_after_the_deadline_is_late() -> None:
    gate = threading.Event()
    trace = Trace(np.array([0, 1 * MS, 60 * MS]), slo_ns=np.array([30 * MS, 0, 0]))

    def behaviour(i: int, _: InferRequest) -> Reply:
        if i == 2:
            gate.set()
        return Reply(after=gate)

    with serving(behaviour) as server:
        run = replay(server.url, trace, SLO_NS)
    assert run.outcomes.status.tolist() == [LATE, MET, MET]


def test_wrong_answers_are_recorded_as_such() -> None:
    with serving(lambda _, __: Reply(classes=[3])) as server:
        run = replay(server.url, every_ms(CLASSES), SLO_NS, labelled())
    assert sorted(column(run, "correct")) == [False] * 9 + [True]


def test_a_request_of_several_rows_is_correct_when_all_of_them_are() -> None:
    def last_row_wrong(_: int, request: InferRequest) -> Reply:
        classes = request.inputs[0].data[:, 0, 0, 0].astype(int).tolist()
        return Reply(classes=classes if len(classes) < 3 else [*classes[:-1], (classes[-1] + 1) % CLASSES])

    with serving(last_row_wrong) as server:
        run = replay(server.url, every_ms(3, size=np.array([1, 2, 3], np.int32)), SLO_NS, labelled())
    assert sorted(len(request.inputs[0].data) for request in server.asked) == [1, 2, 3]
    assert column(run, "correct") == [True, True, False]
    assert column(run, "size") == [1, 2, 3]


def test_a_stalled_server_does_not_hold_up_the_schedule() -> None:
    """Coordinated omission: the server answers nobody until all have asked, and every latency counts from the schedule."""
    n = 40
    gate = threading.Event()

    def stalled(i: int, _: InferRequest) -> Reply:
        if i == n - 1:
            gate.set()
        return Reply(after=gate)

    with serving(stalled) as server:
        run = replay(server.url, every_ms(n), SLO_NS)
    assert statuses(run) == ["met"] * n
    assert (run.outcomes.finish_ns >= run.outcomes.arrival_ns[-1]).all()
    latency_ns = run.outcomes.finish_ns - run.outcomes.arrival_ns
    assert latency_ns[0] >= (n - 1) * MS
    assert server.connections > n


def test_a_limited_pool_makes_requests_wait_and_their_lag_shows_it() -> None:
    with serving(silent_for(0.3)) as server:
        run = replay(server.url, every_ms(10), 1000 * MS, connections=2)
    assert run.connections == 2
    assert (run.outcomes.lag_ns[2:] > 200 * MS).all()
    assert not run.valid
    assert "all connections were busy" in run.problems[0]


def test_the_server_is_told_the_slo_less_the_lag() -> None:
    with serving(silent_for(0.2)) as server:
        run = replay(server.url, every_ms(6), 300 * MS, connections=1)
    told_us = [request.parameters["timeout"] for request in server.asked]
    assert told_us == [max(1, (300 * MS - lag) // 1000) for lag in run.outcomes.lag_ns.tolist()]
    assert told_us[-1] < 120_000


def test_floors_and_tenants_go_with_their_requests() -> None:
    trace = every_ms(3, min_accuracy=np.array([0.5, 0.0, 0.875]), tenant=pa.array(["a", "b", None]))
    with serving() as server:
        run = replay(server.url, trace, SLO_NS, connections=1)
    assert [request.parameters.get("min_accuracy") for request in server.asked] == [0.5, None, 0.875]
    assert column(run, "min_accuracy") == [0.5, None, 0.875]
    assert column(run, "tenant") == ["a", "b", None]


def test_a_server_without_the_binary_extension_gets_json() -> None:
    with serving(binary=False) as server:
        run = replay(server.url, every_ms(20, size=np.full(20, 2, np.int32)), SLO_NS, labelled())
    assert statuses(run) == ["met"] * 20
    assert column(run, "correct") == [True] * 20


def test_a_server_that_hangs_up_after_each_answer_is_served_by_new_connections() -> None:
    closing = b"HTTP/1.1 504 Too late\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with serving(lambda _, __: Reply(raw=closing, hang_up=True)) as server:
        run = replay(server.url, every_ms(30), SLO_NS, connections=4)
    assert statuses(run) == ["dropped"] * 30
    assert run.connections >= 30


def test_a_server_that_hangs_up_without_an_answer_has_failed_that_request() -> None:
    with serving(lambda i, _: Reply(raw=b"", hang_up=True) if i == 1 else Reply()) as server:
        run = replay(server.url, every_ms(3), SLO_NS, connections=1)
    assert sorted(statuses(run)) == ["failed", "met", "met"]  # which one the server saw second is open
    assert list(run.complaints) == ["the target hung up"]


def test_a_target_that_dies_in_the_middle_ends_the_run_with_what_was_seen() -> None:
    arrivals: NDArray[np.int64] = np.arange(60_000, dtype=np.int64) * 10 * MS  # ten minutes, if nobody gave up

    def dies(i: int, _: InferRequest) -> Reply:
        if i == 20:
            server.die()
        return Reply()

    with serving(dies) as server:
        run = replay(server.url, Trace(arrivals), SLO_NS, labelled())
    assert "met" in statuses(run)[:20]
    assert set(statuses(run)[1000:]) == {"failed"}
    assert (run.outcomes.ended_ns >= run.outcomes.arrival_ns).all()
    assert not run.valid
    assert run.problems[0] == "the target went away"


def test_what_is_never_answered_fails_after_a_grace_time() -> None:
    with serving(lambda i, _: Reply(after=threading.Event()) if i == 1 else Reply()) as server:
        run = replay(server.url, every_ms(3), 100 * MS, grace_s=0.1)
    (unanswered,) = [i for i, status in enumerate(statuses(run)) if status == "failed"]  # which one the server saw second is open
    assert run.outcomes.ended_ns[unanswered] >= run.outcomes.deadline_ns[unanswered]


def test_progress_ends_with_every_request() -> None:
    seen: list[tuple[int, int, str]] = []
    with serving() as server:
        replay(server.url, every_ms(5), SLO_NS, progress=lambda *step: seen.append(step))
    assert seen[0][0] == 0
    assert seen[-1] == (5, 5, "5 in time")


def test_a_bug_on_this_side_ends_the_run_with_its_traceback() -> None:
    def broken(done: int, total: int, note: str) -> None:
        raise ZeroDivisionError

    with serving() as server, pytest.raises(ZeroDivisionError):
        replay(server.url, every_ms(5), SLO_NS, progress=broken)


def test_samples_of_another_shape_are_refused() -> None:
    with serving() as server, pytest.raises(BadOption, match=r"takes tensors of shape \[1, 2, 2\], the samples have \[3\]"):
        replay(server.url, every_ms(1), SLO_NS, Split(np.zeros((4, 3), np.float32), np.zeros(4, np.int64)))


def test_no_connections_at_all_are_refused() -> None:
    with pytest.raises(BadOption, match="too few"):
        replay("http://127.0.0.1:1", every_ms(1), SLO_NS, connections=0)
