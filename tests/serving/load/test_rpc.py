"""The load generator against a real gRPC server, grpcio's."""

import threading
from typing import Any

import grpc
import numpy as np
import pytest

from superserve_cli.core.outcomes import STATUSES
from superserve_cli.errors import Unknown, Unreachable
from superserve_cli.serving.load import Access, LiveRun, describe, replay
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace
from tests.serving.load.servers import KEY, one_hot, speaking_grpc

MS = 1_000_000
SLO_NS = 5_000 * MS


def labelled() -> Split:
    """Images whose first pixel is their class."""
    y = np.arange(10, dtype=np.int64)
    return Split(np.repeat(y.astype(np.float32), 4).reshape(10, 1, 2, 2), y)


def every_ms(n: int, **columns: Any) -> Trace:
    return Trace(np.arange(n, dtype=np.int64) * MS, **columns)


def statuses(run: LiveRun) -> list[str]:
    return [STATUSES[status] for status in run.outcomes.status]


def test_a_server_of_grpc_is_described_as_one_of_http_is() -> None:
    with speaking_grpc() as url:
        assert describe(url) == describe(f"{url}/glyphs")
        assert describe(url) == {
            "slo_us": 20_000,
            "task": "glyphs",
            "versions": {"torch": "2"},
            "profile_hash": "12e45",
            "sustained_qps": 99.5,
            "url": url,
            "model": "glyphs",
            "platform": "here",
            "server": "real 3",
        }
        with pytest.raises(Unknown, match="'glyph'"):
            describe(f"{url}/glyph")


def test_a_prompt_server_meets_everything_and_is_measured_on_the_samples() -> None:
    with speaking_grpc() as url:
        run = replay(url, every_ms(50, size=np.tile(np.array([1, 3], np.int32), 25)), SLO_NS, labelled())
    assert statuses(run) == ["met"] * 50
    assert run.outcomes.extra["correct"].to_pylist() == [True] * 50
    assert run.outcomes.subnets == ("d2",)
    assert set(run.outcomes.accuracy) == {0.8}
    assert run.server["server"] == "real 3"


def test_every_code_has_its_outcome() -> None:
    codes = [None, "DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "INTERNAL"]
    asked: list[int] = []

    def infer(request: Any, context: Any) -> Any:
        asked.append(1)
        code = codes[len(asked) - 1]
        return one_hot(request, context) if code is None else context.abort(grpc.StatusCode[code], "a reason")

    with speaking_grpc(infer) as url:
        run = replay(url, every_ms(len(codes)), SLO_NS, connections=1)
    assert statuses(run) == ["met", "dropped", "rejected", "rejected", "rejected", "failed"]
    assert run.complaints["RESOURCE_EXHAUSTED: a reason"] == 1


def test_what_does_not_fit_into_a_window_waits_for_leave() -> None:
    """A megabyte: sixteen times what a server lets through at first."""
    with speaking_grpc() as url:
        run = replay(url, Trace(np.zeros(4, np.int64), size=np.full(4, 60_000, np.int32)), SLO_NS, labelled())
    assert statuses(run) == ["met"] * 4
    assert run.outcomes.extra["correct"].to_pylist() == [True] * 4


def test_a_stalled_server_does_not_hold_up_the_schedule() -> None:
    gate = threading.Event()
    timer: list[threading.Timer] = []

    def stalled(request: Any, context: Any) -> Any:
        if not timer:
            timer.append(threading.Timer(0.3, gate.set))
            timer[0].start()
        gate.wait(60)
        return one_hot(request, context)

    with speaking_grpc(stalled) as url:
        run = replay(url, every_ms(40), SLO_NS)
    assert statuses(run) == ["met"] * 40
    assert run.connections >= 40
    assert run.outcomes.finish_ns.min() > run.outcomes.arrival_ns.max()


def test_a_server_that_wants_a_key_gets_it() -> None:
    with speaking_grpc(key=KEY) as url:
        with pytest.raises(Unreachable, match="does not let us in"):
            describe(url)
        run = replay(url, every_ms(3), SLO_NS, access=Access(KEY))
    assert statuses(run) == ["met"] * 3
    assert KEY not in str(run.server)


def test_a_place_without_a_server_of_grpc_is_unreachable() -> None:
    with speaking_grpc() as url:
        pass
    with pytest.raises(Unreachable, match="nothing answers at grpc://"):
        describe(url)
