"""The slot protocol, without sockets: what one side sends the other takes, and anything else is refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.model import Hello, Model
from superserve_cli.serving.workers.messages import Malformed, Plan, decode_hello, encode_hello
from superserve_cli.serving.workers.turns import DONE, FREE, JOB, NEVER, REPORT, UNSEEN, Done, Job, RouterTurns, WorkerTurns

SECOND = 10**9
PLAN = Plan(("small", "large"), (1, 2, 4), (3,), 10, slots=2)


STEPS = st.tuples(st.sampled_from(["hand", "free", "done"]), st.integers(1, 4), st.integers(0, 50))
REPORTS = st.tuples(*[st.integers(0, 3)] * 2, st.integers(0, 2 * SECOND), *[st.integers(-1, SECOND)] * 2)
JSON = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.lists(STEPS, max_size=60), st.integers(1, 3))
def test_whatever_order_they_take_both_sides_agree_on_every_slot(steps: list[tuple[str, int, int]], slots: int) -> None:
    router, worker = RouterTurns(slots), WorkerTurns(Plan(("small",), (4,), (3,), 10, slots=slots))
    now_ns, free, told_free = SECOND, True, None
    jobs: list[tuple[Job, int]] = []
    for step, rows, gap_ns in steps:
        now_ns += gap_ns
        if step == "hand" and free and len(jobs) < slots:
            job = router.hand(0, rows, now_ns, SECOND)
            assert worker.read(JOB.pack(*job)) == job
            jobs.append((job, now_ns))
            free = False
        elif step == "free" and jobs and not free and len(jobs) < slots and told_free != jobs[-1]:
            assert router.read(worker.free(jobs[-1][0]), now_ns) is None
            told_free, free = jobs[-1], True
        elif step == "done" and jobs:
            job, begun_ns = jobs.pop(0)
            report = worker.done(job, begun_ns, now_ns - begun_ns, gap_ns)
            assert router.read(report, now_ns) == Done(job.slot, job.rows, begun_ns, now_ns - begun_ns, gap_ns)
            free = free or not jobs
    assert (router.due_ns == NEVER) == (not jobs)


@given(st.lists(st.binary(max_size=40) | REPORTS, max_size=8))
def test_any_bytes_from_a_worker_are_a_report_or_malformed(messages: list[bytes | tuple[int, ...]]) -> None:
    router = RouterTurns(2)
    router.hand(0, 3, SECOND, SECOND)
    taken = 0
    for message in messages:
        with suppress(Malformed):
            done = router.read(message if isinstance(message, bytes) else REPORT.pack(*message), 2 * SECOND)
            taken += done is not None
            assert done is None or (done.slot, done.rows) == (0, 3)
    assert taken <= 1


@given(st.lists(st.binary(max_size=20) | st.tuples(*[st.integers(0, 5)] * 3), max_size=8))
def test_any_bytes_from_a_router_are_a_job_that_can_be_or_malformed(messages: list[bytes | tuple[int, ...]]) -> None:
    worker = WorkerTurns(PLAN)
    jobs = []
    for message in messages:
        with suppress(Malformed):
            jobs.append(worker.read(message if isinstance(message, bytes) else JOB.pack(*message)))
    assert [job.slot for job in jobs] == [0, 1][: len(jobs)]
    assert all(job.subnet < 2 and 1 <= job.rows <= 4 for job in jobs)


@given(st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode))
def test_any_bytes_are_a_hello_or_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        decode_hello(message)


@pytest.mark.parametrize(
    "model",
    [
        Model("net", "hash", (3, 0), 10),
        Model("net", "hash", (3,), -1),
        Model("net", "hash", (3,), 10, datatype="FP7"),
        Model(None, "hash", (3,), 10),  # type: ignore[arg-type]
        Model("net", "hash", (3,), 10, vocabulary=(1.5,)),  # type: ignore[arg-type]
    ],
)
def test_a_model_that_cannot_be_is_malformed(model: Model) -> None:
    with pytest.raises(Malformed):
        decode_hello(encode_hello(Hello(model)))


def test_more_slots_than_a_ring_has_are_malformed() -> None:
    hello = Hello(Model("net", "hash", (3,), 10), {"device": "cpu"}, slots=2)
    assert decode_hello(encode_hello(hello)) == hello
    with pytest.raises(Malformed):
        decode_hello(encode_hello(Hello(hello.model, {}, slots=9)))


def test_a_worker_of_one_slot_is_never_free_early() -> None:
    router = RouterTurns(1)
    job = router.hand(0, 1, SECOND, SECOND)
    with pytest.raises(Malformed, match="free with slot 0"):
        router.read(REPORT.pack(FREE, job.slot, 0, 0, UNSEEN), SECOND)


def test_an_answer_that_began_before_its_batch_or_ends_in_the_future_is_malformed() -> None:
    for begun_ns, took_ns in ((SECOND - 1, 0), (SECOND, SECOND + 1), (SECOND, -1), (3 * SECOND, 0)):
        router = RouterTurns(1)
        router.hand(0, 1, SECOND, SECOND)
        with pytest.raises(Malformed, match="is done at"):
            router.read(REPORT.pack(DONE, 0, begun_ns, took_ns, UNSEEN), 2 * SECOND)


def test_a_program_that_was_chosen_before_its_job_came_or_in_the_future_is_malformed() -> None:
    for actuation_ns in (UNSEEN - 1, SECOND + 1):
        router = RouterTurns(1)
        router.hand(0, 1, SECOND, SECOND)
        with pytest.raises(Malformed, match="to actuate"):
            router.read(REPORT.pack(DONE, 0, SECOND, 0, actuation_ns), 2 * SECOND)


def test_who_does_not_say_when_it_chose_has_no_actuation() -> None:
    router, worker = RouterTurns(1), WorkerTurns(PLAN)
    job = router.hand(0, 1, SECOND, SECOND)
    done = router.read(worker.done(job, SECOND, 0), 2 * SECOND)
    assert done is not None
    assert done.actuation_ns is None


def test_the_second_batch_has_its_whole_bound_after_the_first() -> None:
    router = RouterTurns(2)
    first = router.hand(0, 1, 0, 10)
    assert router.due_ns == 10
    router.read(REPORT.pack(FREE, first.slot, 0, 0, UNSEEN), 1)
    router.hand(0, 1, 2, 10)
    assert router.due_ns == 10
    router.read(REPORT.pack(DONE, first.slot, 0, 8, UNSEEN), 8)
    assert router.due_ns == 18
