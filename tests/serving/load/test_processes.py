"""Several processes that send one schedule."""

import os
import signal
import threading
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.load import processes, replay
from superserve_cli.serving.load.ledger import Ledger
from superserve_cli.serving.load.sender import Sent
from superserve_cli.traces.trace import Trace
from tests.serving.load.servers import one_hot, speaking_grpc
from tests.serving.load.test_ledger import DONE
from tests.serving.load.test_rpc import MS, SLO_NS, labelled, statuses


def test_each_request_is_sent_once_and_all_stand_in_one_ledger() -> None:
    ids: list[float] = []

    def infer(request: Any, context: Any) -> Any:
        ids.append(request.parameters["min_accuracy"].double_param)
        return one_hot(request, context)

    floors = np.arange(1, 61) / 64
    trace = Trace(np.arange(60, dtype=np.int64) * 2 * MS, min_accuracy=floors, tenant=pa.array([f"t{i % 2}" for i in range(60)]))
    seen: list[tuple[int, int, str]] = []
    with speaking_grpc(infer) as url:
        run = replay(url, trace, SLO_NS, labelled(), processes=3, progress=lambda *step: seen.append(step))
    assert sorted(ids) == floors.tolist()
    assert statuses(run) == ["met"] * 60
    assert run.outcomes.extra["correct"].to_pylist() == [True] * 60
    assert run.outcomes.extra["tenant"].to_pylist() == trace.tenant.to_pylist()  # type: ignore[union-attr]  # it has tenants
    assert (run.outcomes.lag_ns >= 0).all()
    assert run.outcomes.subnets == ("d2",)
    assert run.processes == 3
    assert seen[-1] == (60, 60, "60 in time")


def test_a_process_that_dies_leaves_a_run_that_is_not_valid_and_does_not_hang() -> None:
    asked = threading.Event()

    def infer(request: Any, context: Any) -> Any:
        if not asked.is_set():
            asked.set()
            os.kill(children()[0], signal.SIGKILL)
        return one_hot(request, context)

    with speaking_grpc(infer) as url:
        run = replay(url, Trace(np.arange(300, dtype=np.int64) * 2 * MS), SLO_NS, processes=2)
    assert not run.valid
    assert "1 of 2 sending processes died (exit code -9)" in run.problems
    assert run.complaints["its sending process died"] > 100
    assert {"met", "failed"} == set(statuses(run))


def children() -> list[int]:
    """The sending processes of this one."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/stat") as stat, open(f"/proc/{entry.name}/cmdline") as line:  # noqa: PTH123
                    if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid() and processes.CHILD in line.read():
                        found.append(int(entry.name))
            except OSError:  # it has ended
                continue
    return found


@given(n=st.integers(0, 40), parts=st.integers(1, 5), subnets=st.integers(1, 3))
def test_several_books_make_the_one_that_a_single_process_would_have_kept(n: int, parts: int, subnets: int) -> None:
    trace = Trace(np.arange(n, dtype=np.int64) * MS)

    def fill(book: Ledger, id: int, i: int) -> None:
        book.sent(i, (id + 1) * MS)
        if id % 3 == 0:
            book.refused(i, (id + 2) * MS, 503, "full")
        elif id % 7 == 1:
            book.failed(i, (id + 2) * MS, "hung up")
        else:
            book.answered(i, (id + 4) * MS, DONE._replace(subnet=f"d{id % subnets}"))

    whole, merged, shares = Ledger(trace, 20 * MS), Ledger(trace, 20 * MS), []
    for id in range(n):
        fill(whole, id, id)
    for first in range(parts):
        own = Ledger(Trace(trace.arrival_ns[first::parts]), 20 * MS)
        for i, id in enumerate(range(first, n, parts)):
            fill(own, id, i)
        shares.append(own)
    for first in reversed(range(parts)):
        merged.enter(slice(first, None, parts), shares[first].page())
    ours, theirs = merged.outcomes(), whole.outcomes()
    for name in ("status", "start_ns", "finish_ns", "ended_ns", "lag_ns", "accuracy", "batch_size"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name), equal_nan=name == "accuracy")
    assert [ours.subnets[s] if s >= 0 else "" for s in ours.subnet] == [theirs.subnets[s] if s >= 0 else "" for s in theirs.subnet]
    assert (merged.ended, merged.met, merged.refusals, merged.failures) == (whole.ended, whole.met, whole.refusals, whole.failures)


def test_one_process_is_enough_until_the_fullest_second_is_too_much_for_it() -> None:
    cores = os.cpu_count() or 1
    slow, fast = (Trace(np.arange(0, 10**9, 10**9 // rate, dtype=np.int64)) for rate in (5_000, 10**6))
    assert processes.enough(Trace(np.zeros(0, np.int64)), 0) == 1
    assert processes.enough(slow, 12_288) == 1
    assert processes.enough(fast, 12_288) == cores


def test_progress_of_several_is_their_sum() -> None:
    told: list[tuple[int, int]] = []
    shares = processes.Shares(Ledger(Trace(np.zeros(4, np.int64)), MS), 2, lambda ended, met: told.append((ended, met)))
    shares.told(0, 2, 1)
    shares.told(1, 1, 1)
    assert told == [(2, 1), (3, 2)]
    assert isinstance(shares.sent, list)
    assert not any(isinstance(one, Sent) for one in shares.sent)
