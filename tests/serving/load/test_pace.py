import gc
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.serving.load.pace import Clock, pace, quiet


@settings(deadline=None, max_examples=20)
@given(arrivals_us=st.lists(st.integers(0, 5000), max_size=100))
def test_everything_is_sent_once_in_order_and_never_early(arrivals_us: list[int]) -> None:
    arrivals_ns = sorted(arrival * 1000 for arrival in arrivals_us)
    sent: list[tuple[int, int]] = []
    clock = Clock.started()
    pace(arrivals_ns, clock, lambda i: sent.append((i, clock.now_ns())), lambda ns: time.sleep(ns / 1e9))
    assert [id for id, _ in sent] == list(range(len(arrivals_ns)))
    assert all(at >= arrivals_ns[id] for id, at in sent)


def test_answers_are_read_within_a_burst() -> None:
    sent: list[int] = []
    seen: list[int] = []
    pace([0] * 1000, Clock.started(), sent.append, lambda _: seen.append(len(sent)))
    assert seen[0] < 100


def test_there_is_time_for_other_work_until_the_next_arrival() -> None:
    asked: list[int] = []

    def turn(patience_ns: int) -> None:
        asked.append(patience_ns)
        time.sleep(patience_ns / 1e9)

    pace([20_000_000], Clock.started(), lambda _: None, turn)
    assert 0 < asked[0] <= 20_000_000


def test_garbage_waits_until_the_run_is_over() -> None:
    with quiet():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
