import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli import policies
from superserve_cli.core.nouns import WAIT, ms_to_ns
from superserve_cli.engine import Engine
from superserve_cli.engine.recording import first_difference
from superserve_cli.policies import Policy, named
from superserve_cli.serving.clock import VirtualClock
from superserve_cli.serving.overhead import Overhead
from superserve_cli.serving.refusals import Busy, Failed, Invalid, TooLate
from superserve_cli.serving.room import Room
from superserve_cli.serving.workers.sleep import CLASSES, SleepLink

World = Callable[..., Any]
ROW_BYTES = 8 * 4
BATCH_SIZES, SHAPE = (1, 2, 4), (2, 2, 2)


def test_a_lone_request_is_answered_by_the_most_accurate_subnet_that_fits(world: World) -> None:
    server = world()
    _, reply = server.ask(slo_ms=20, value=3.0)
    server.advance(6)
    assert reply.answer.subnet == "large"
    assert reply.answer.accuracy == 0.9
    assert reply.answer.met
    assert reply.answer.logits[0, 0] == 3.0 * 8


def test_requests_that_wait_together_run_together_and_each_gets_its_own_rows(world: World) -> None:
    server = world(policy="max-batch")
    server.ask(slo_ms=100)
    replies = [server.ask(slo_ms=100, rows=rows, value=value)[1] for rows, value in ((1, 1.0), (2, 2.0), (1, 3.0))]
    server.advance(100)
    assert server.links[0].started[1][1] == 4
    assert [reply.answer.batch_size for reply in replies] == [4, 4, 4]
    assert [reply.answer.logits[:, 0].tolist() for reply in replies] == [[8.0], [16.0, 16.0], [24.0]]


def test_the_most_urgent_request_goes_first(world: World) -> None:
    server = world()
    server.ask(slo_ms=20)
    _, patient = server.ask(slo_ms=90, rows=4)
    _, urgent = server.ask(slo_ms=30, rows=4)
    server.advance(100)
    assert urgent.told_ms < patient.told_ms


def test_a_priority_decides_between_equal_deadlines_and_nothing_else(world: World) -> None:
    server = world()
    server.ask(slo_ms=200)
    asked = {"none": (90, 0), "second": (90, 2), "first": (90, 1), "lowest": (90, 2**64 - 1), "urgent": (50, 0)}
    replies = {name: server.ask(slo_ms=slo_ms, rows=4, priority=priority)[1] for name, (slo_ms, priority) in asked.items()}
    server.advance(200)
    assert sorted(replies, key=lambda name: replies[name].told_ms) == ["urgent", "first", "second", "lowest", "none"]
    assert server.ledger.outcomes(0).id.tolist() == list(range(6))


def test_a_pin_decides_the_subnet_whatever_the_policy(world: World) -> None:
    server = world(policy="fixed:large")
    pinned, free = (server.ask(slo_ms=40, subnet=subnet)[1] for subnet in ("small", None))
    server.advance(40)
    assert (pinned.answer.subnet, free.answer.subnet) == ("small", "large")
    with pytest.raises(Invalid, match="'small' does not reach"):
        server.ask(floor=0.85, subnet="small")


def test_an_impossible_deadline_is_told_at_once(world: World) -> None:
    server = world()
    _, reply = server.ask(slo_ms=1)
    assert (reply.refusal, reply.told_ms) == (TooLate, 0)


def test_a_request_is_told_as_soon_as_nothing_can_help_it_though_all_workers_are_busy(world: World) -> None:
    server = world()
    server.ask(slo_ms=20)
    replies = [server.ask(slo_ms=slo_ms)[1] for slo_ms in (5, 3)]
    server.advance(6)
    fastest_ms = 2
    assert [reply.refusal for reply in replies] == [TooLate, TooLate]
    assert [reply.told_ms for reply in replies] == pytest.approx([5 - fastest_ms, 3 - fastest_ms], abs=1e-3)


def test_a_request_that_the_fastest_subnet_could_still_meet_waits_for_a_worker(world: World) -> None:
    server = world()
    server.ask(slo_ms=20)
    _, reply = server.ask(slo_ms=9)
    server.advance(100)
    assert reply.answer.subnet == "small"
    assert reply.answer.met


class Prompt(SleepLink):
    """Has its answer as soon as somebody looks, once it is `finished`; writes down what happened when."""

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self.finished = False
        self.events: list[str] = []

    def start(self, subnet: str, batch: Any, plan_ns: int) -> None:
        self.events.append(f"start {len(batch)}")

    def look(self) -> None:
        if self.finished:
            self.finished = False
            self.answer()

    def answer(self) -> None:
        assert self._listener is not None
        self._listener.done(0, np.zeros((BATCH_SIZES[-1], CLASSES), np.float32), 1)


@dataclass
class Slow:
    """Whom telling takes so long that a worker is done meanwhile."""

    link: Prompt
    clock: VirtualClock
    takes_ms: float

    def answered(self, answer: Any) -> None:
        self.link.events.append("answered")

    def refused(self, refusal: Any) -> None:
        self.link.events.append("refused")
        self.clock.block(ms_to_ns(self.takes_ms))
        self.link.finished = self.takes_ms > 0


def submit(server: Any, slo_ms: float, takes_ms: float = 0.0) -> None:
    link = server.links[0]
    server.router.submit(np.zeros((1, *SHAPE), np.float32), ms_to_ns(slo_ms), 0.0, Slow(link, server.clock, takes_ms))


def test_a_worker_gets_its_next_batch_before_those_who_are_too_late_are_told(world: World) -> None:
    server = world(late="shed", policy="max-batch", link=Prompt)
    for slo_ms in (200, 3.1, 3.2, 3.3, 100):
        submit(server, slo_ms)
    server.clock.block(ms_to_ns(3))
    server.links[0].answer()
    assert server.links[0].events == ["start 1", "start 1", "answered", "refused", "refused", "refused"]


def test_a_worker_that_is_done_while_clients_are_told_is_not_kept_waiting(world: World) -> None:
    server = world(policy="max-batch", link=Prompt)
    submit(server, 200)
    for slo_ms in (3, 3, 500, 500, 500, 500):
        submit(server, slo_ms, takes_ms=3)
    server.advance(4)
    assert server.links[0].events == ["start 1", "refused", "start 4", "answered", "refused"]


def test_a_worker_that_is_done_while_requests_are_read_is_not_kept_waiting(world: World) -> None:
    server = world(policy="max-batch", link=Prompt)
    submit(server, 100)
    server.links[0].finished = True
    server.clock.block(ms_to_ns(1))
    submit(server, 100)
    assert server.links[0].events == ["start 1"]  # nobody takes less than half of what is planned
    server.clock.block(ms_to_ns(2))
    submit(server, 100)
    assert server.links[0].events == ["start 1", "start 1", "answered"]


def test_where_the_late_are_served_nobody_is_told_before_its_answer(world: World) -> None:
    server = world(late="serve")
    server.ask(slo_ms=20)
    _, reply = server.ask(slo_ms=3)
    server.advance(100)
    assert reply.answer is not None
    assert not reply.answer.met


def test_a_request_that_waits_again_for_its_worker_was_lost_is_told_in_time_too(world: World) -> None:
    server = world(workers=2)
    _, first = server.ask(slo_ms=9)
    server.ask(slo_ms=100, rows=4)
    server.advance(3)
    server.links[0].die()
    server.advance(3.5)
    assert first.told_ms is None
    server.advance(1)
    assert first.refusal is TooLate
    assert first.told_ms == pytest.approx(7, abs=1e-3)


def test_the_measured_overhead_is_taken_off_the_slack(world: World) -> None:
    server = world()
    server.router.overhead = Overhead(1_000_000)
    assert server.ask(slo_ms=2.5)[1].refusal == TooLate
    assert server.ask(slo_ms=3.5)[1].refusal is None


def test_a_client_that_hangs_up_frees_its_place(world: World) -> None:
    server = world(max_queue=1)
    server.ask()
    id, reply = server.ask()
    server.router.cancel(id)
    assert server.ask()[1].refusal is None
    server.advance(100)
    assert reply.told_ms is None
    assert server.statuses() == ["met", "failed", "met"]


def test_a_client_that_hangs_up_during_its_batch_changes_nothing(world: World) -> None:
    server = world()
    id, reply = server.ask()
    server.router.cancel(id)
    server.advance(10)
    assert reply.answer is not None
    assert server.statuses() == ["met"]


def test_a_full_queue_refuses(world: World) -> None:
    server = world(max_queue=1)
    server.ask()
    server.ask()
    with pytest.raises(Busy, match="1 requests wait already"):
        server.ask()
    assert server.router.pending == 2


def test_who_finds_the_queue_full_is_told_when_the_workers_will_be_through_with_it(world: World) -> None:
    server = world(max_queue=1600)
    asked = [server.ask(slo_ms=10_000) for _ in range(1601)]
    with pytest.raises(Busy) as busy:
        server.ask()
    largest, plan_s = 4, 0.004
    assert busy.value.retry_after_s == math.ceil(1600 * plan_s / largest)
    for id, _ in asked[100:]:
        server.router.cancel(id)
    assert server.router.retry_after_s() == 1


def test_requests_that_would_take_more_memory_than_there_may_be_are_refused_until_others_have_gone(world: World) -> None:
    room = Room(most=3 * ROW_BYTES)
    server = world(room=room)
    server.ask(slo_ms=100)
    id, _ = server.ask(slo_ms=100)
    with pytest.raises(Busy, match="bytes wait already"):
        server.ask(slo_ms=100, rows=2)
    server.router.cancel(id)
    server.ask(slo_ms=100, rows=2)
    server.advance(100)
    assert room.held == 0
    assert server.statuses() == ["met", "failed", "rejected", "met"]


def test_an_accuracy_that_no_subnet_reaches_is_refused_and_one_that_is_reached_is_kept(world: World) -> None:
    server = world(policy="max-batch")
    with pytest.raises(Invalid, match="no served subnet"):
        server.ask(floor=0.95)
    _, reply = server.ask(slo_ms=7, floor=0.85)
    server.advance(10)
    assert reply.answer.subnet == "large"


def test_more_rows_than_the_largest_batch_are_refused(world: World) -> None:
    server = world()
    with pytest.raises(Invalid, match="at most 4 rows"):
        server.ask(rows=5)


def test_the_batch_of_a_lost_worker_is_run_by_another(world: World) -> None:
    server = world(workers=2)
    _, first = server.ask(slo_ms=30)
    server.advance(3)
    server.links[0].die()
    server.advance(6)
    assert first.told_ms == 9
    assert server.statuses() == ["met"]


def test_a_worker_that_returns_serves_again(world: World) -> None:
    server = world(workers=2)
    server.links[0].die()
    server.ask(slo_ms=50)
    _, waiting = server.ask(slo_ms=50)
    server.links[0].revive()
    server.advance(6)
    assert waiting.told_ms == 6


def test_when_the_last_worker_is_lost_requests_wait_for_its_return_while_they_have_time(world: World) -> None:
    server = world()
    short, long = (server.ask(slo_ms=slo_ms)[1] for slo_ms in (10, 50))
    server.links[0].die()
    with pytest.raises(Busy, match="no worker is up"):
        server.ask()
    server.advance(20)
    fastest_ms = 2
    assert (short.refusal, short.told_ms) == (TooLate, pytest.approx(10 - fastest_ms, abs=1e-3))
    server.links[0].revive()
    server.advance(20)
    assert long.answer.met


def test_when_no_worker_is_up_and_none_comes_back_nobody_waits_any_longer(world: World) -> None:
    server = world(late="serve")
    replies = [server.ask(slo_ms=50)[1] for _ in range(3)]
    server.links[0].die()
    server.advance(100)
    assert [reply.told_ms for reply in replies] == [None] * 3
    server.links[0].die("unstartable")
    assert [reply.refusal for reply in replies] == [Failed] * 3


def test_the_request_of_a_client_that_is_gone_does_not_run_again(world: World) -> None:
    server = world(workers=2)
    id, _ = server.ask(slo_ms=50)
    server.router.cancel(id)
    server.links[0].die()
    assert server.statuses() == ["failed"]
    assert server.links[1].started == []


def test_a_worker_that_is_free_early_gets_its_next_batch_before_it_answers(world: World) -> None:
    server = world(tail_ms=1)
    first, second = (server.ask(slo_ms=50, value=value)[1] for value in (1.0, 2.0))
    server.advance(5)
    assert (len(server.links[0].started), server.router.pending) == (2, 2)
    server.advance(20)
    assert (first.told_ms, second.told_ms) == (6, 11)
    assert (first.answer.logits[0, 0], second.answer.logits[0, 0]) == (8.0, 16.0)


def test_all_that_a_lost_worker_has_not_answered_is_run_by_another(world: World) -> None:
    server = world(workers=2, tail_ms=1)
    replies = [server.ask(slo_ms=50)[1] for _ in range(3)]
    server.advance(5)
    server.links[0].die()
    server.advance(50)
    assert [reply.answer.met for reply in replies] == [True] * 3


def test_a_request_that_was_lost_with_two_workers_is_not_given_to_a_third(world: World) -> None:
    server = world(workers=3)
    _, poison = server.ask(slo_ms=100)
    told = []
    for link in server.links[:2]:
        link.die()
        told.append(poison.refusal)
    assert told == [None, Failed]
    assert server.links[2].started == []


def test_a_lost_request_that_nobody_can_answer_in_time_is_told_at_once(world: World) -> None:
    server = world(workers=2)
    _, busy = server.ask(slo_ms=50)
    _, reply = server.ask(slo_ms=7)
    server.advance(5.5)
    server.links[1].die()
    assert (reply.refusal, reply.told_ms) == (TooLate, 5.5)
    assert busy.told_ms is None


def test_under_the_rule_that_serves_late_ones_it_waits_for_the_other_worker(world: World) -> None:
    server = world(workers=2, late="serve")
    server.ask(slo_ms=50)
    _, reply = server.ask(slo_ms=7)
    server.advance(5.5)
    server.links[1].die()
    server.advance(20)
    assert not reply.answer.met


def test_what_workers_do_is_counted_by_worker(world: World) -> None:
    server = world(workers=2, tail_ms=1)
    for _ in range(3):
        server.ask(slo_ms=50)
    server.advance(12)
    server.links[1].die("hung")
    server.links[1].die("exited")
    server.links[1].revive()
    text = server.metrics.exposition().decode()
    assert 'superserve_worker_batches_total{worker="0"} 2.0' in text
    assert 'superserve_worker_busy_seconds_total{worker="0"} 0.011' in text  # 0-6 and 5-11 ms
    assert 'superserve_worker_up{worker="1"} 1.0' in text
    assert 'superserve_worker_restarts_total{worker="1"} 1.0' in text
    assert 'superserve_worker_losses_total{reason="hung",worker="1"} 1.0' in text
    assert 'superserve_worker_last_loss{reason="hung",worker="1"} 0.0' in text
    assert 'superserve_worker_last_loss{reason="exited",worker="1"} 1.0' in text


def test_the_actuation_of_a_batch_is_counted_where_its_worker_tells_it(world: World) -> None:
    server = world()
    for actuation_ns in (None, 3_000):
        server.ask(slo_ms=100)
        server.router.done(0, np.zeros((1, 10), np.float32), 1_000_000, actuation_ns)
    assert 'superserve_actuation_seconds_bucket{le="5e-06"} 1.0' in server.metrics.exposition().decode()


def test_the_overhead_follows_what_the_hand_over_takes(world: World) -> None:
    server = world(overhead_ms=1)
    for _ in range(200):
        server.ask(slo_ms=100)
        server.advance(20)
    assert server.router.overhead.ns == pytest.approx(1_000_000, rel=0.01)
    assert server.metrics.handover.total / server.metrics.handover.count == pytest.approx(0.001)


def test_an_overhead_with_which_batches_run_does_not_fade_however_many_are_dropped(world: World) -> None:
    server = world(overhead_ms=1, late="shed")
    for _ in range(200):
        server.ask(slo_ms=100)
        server.advance(20)
    known_ns = server.router.overhead.ns
    for _ in range(600):
        with suppress(Busy):
            server.ask(slo_ms=20)
        server.advance(0.1)
    assert server.router.overhead.ns == pytest.approx(known_ns, rel=0.3)


def test_an_overhead_that_leaves_no_time_fades_until_requests_run_again(world: World) -> None:
    server = world(max_queue=1000)
    server.router.overhead = Overhead(50_000_000)
    statuses = [server.ask(slo_ms=20)[1].refusal for _ in range(200)]
    assert statuses[0] == TooLate
    assert statuses[-1] is None


@settings(deadline=None)
@given(
    asked=st.lists(st.tuples(st.integers(0, 10), st.integers(1, 60), st.integers(1, 4)), max_size=40),
    late=st.sampled_from(["drop", "shed", "serve"]),
    workers=st.integers(1, 3),
)
def test_every_request_is_told_exactly_once_and_recorded_exactly_once(
    world: World, asked: list[tuple[int, int, int]], late: str, workers: int
) -> None:
    server = world(workers=workers, late=late, policy="slackfit")
    replies = []
    for gap_ms, slo_ms, rows in asked:
        server.advance(gap_ms)
        replies.append(server.ask(slo_ms=slo_ms, rows=rows)[1])
    server.advance(10_000)
    assert all(reply.told_ms is not None for reply in replies)
    outcomes = server.ledger.outcomes(0)
    assert outcomes.id.tolist() == list(range(len(asked)))
    assert [reply.answer is not None for reply in replies] == [s < 2 for s in outcomes.status]
    assert (outcomes.status[outcomes.finish_ns > outcomes.deadline_ns] == 1).all()
    assert server.router.pending == server.room.held == 0
    assert sum(server.metrics.requests) == len(asked)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    late=st.sampled_from(["drop", "shed", "serve"]),
    policy=st.sampled_from(["slackfit", "max-batch", "max-accuracy"]),
    workers=st.integers(1, 3),
    tail_ms=st.sampled_from([0, 1, 1.9]),
)
def test_whatever_workers_do_every_request_ends_exactly_once_and_the_run_replays(
    world: World, seed: int, late: str, policy: str, workers: int, tail_ms: float
) -> None:
    server = world(workers=workers, late=late, policy=policy, tail_ms=tail_ms, recorded=True, drift_guard=True)
    chance, replies, gone = random.Random(seed), {}, set()
    for _ in range(150):
        server.advance(chance.choice([0, 0.5, 3, 8, 25]))
        link = chance.choice(server.links)
        event = chance.choices(["ask", "die", "revive", "slow", "cancel"], [12, 1, 2, 1, 1])[0]
        if event == "ask":
            with suppress(Busy):
                id, reply = server.ask(slo_ms=chance.uniform(1, 80), rows=chance.randint(1, 4), floor=chance.choice([0.0, 0.85]))
                replies[id] = reply
        elif event == "die":
            link.die()
        elif event == "revive":
            link.revive()
        elif event == "slow":
            link.slowness = chance.choice([1, 1, 2, 5])
        elif replies:
            gone.add(id := chance.choice(list(replies)))
            server.router.cancel(id)
    for link in server.links:
        link.revive()
    server.advance(100_000)
    assert server.router.pending == 0
    assert {id for id, reply in replies.items() if reply.told_ms is None} <= gone
    statuses = dict(zip(server.ledger.outcomes(0).id.tolist(), server.statuses(), strict=True))
    assert len(statuses) == len(server.ledger)
    assert {id for id in replies if statuses[id] in ("met", "late")} == {id for id, reply in replies.items() if reply.answer is not None}
    kept = server.engine.recording()
    assert first_difference(kept, kept.engine(server.profile, named(policy))) is None


PATIENT = """
from superserve_cli.core.nouns import WAIT, Choice

def patient(profile, workers):
    fastest, largest = profile.subnets[0], profile.largest
    needed_ns = profile.plan_ns(fastest, largest)

    def choose(slack_ns, depth):
        if slack_ns < needed_ns:
            return None
        return Choice(fastest, largest) if depth >= largest or slack_ns <= needed_ns else WAIT

    return choose
"""


def test_a_policy_that_waits_is_asked_again_when_its_head_can_wait_no_longer(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PATIENT)
    server = world(policy=f"{tmp_path}/mine.py:patient")
    needed_ms = server.profile.plan_ns(server.profile.subnets[0], server.profile.largest) / 1e6
    _, first = server.ask(slo_ms=50)
    server.advance(10)
    _, second = server.ask(slo_ms=50)
    server.advance(40)
    assert (first.answer.batch_size, second.answer.batch_size) == (2, 2)
    assert first.answer.met
    assert first.answer.queue_ns / 1e6 == pytest.approx(50 - needed_ms)


def test_a_policy_that_waits_runs_a_full_batch_at_once(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PATIENT)
    server = world(policy=f"{tmp_path}/mine.py:patient")
    replies = [server.ask(slo_ms=50)[1] for _ in range(server.profile.largest)]
    server.advance(49)
    assert [reply.answer.queue_ns for reply in replies] == [0] * server.profile.largest


def test_a_router_that_plans_anew_keeps_who_waits_and_tells_who_waits_in_vain(world: World) -> None:
    server, other = world(policy="max-accuracy"), world(policy="infaas")
    _, running = server.ask(slo_ms=100)
    _, waits = server.ask(slo_ms=100)
    _, accurate = server.ask(slo_ms=100, floor=0.9)
    server.router.replan(Engine(other.profile.only({"small"}), policies.named("max-batch"), "drop", 1), max_queue=2)
    assert accurate.refusal is Invalid
    server.advance(20)
    assert (running.answer.subnet, waits.answer.subnet) == ("large", "small")
    server.ask(slo_ms=100)
    for _ in range(2):
        server.ask(slo_ms=100)
    with pytest.raises(Busy):
        server.ask(slo_ms=100)
    with pytest.raises(Invalid):
        server.ask(slo_ms=100, floor=0.85)


@pytest.mark.parametrize("needs", [{"subnet": "large"}, {"floor": 0.9}])
def test_a_worker_that_is_lost_with_what_is_served_no_more_leaves_nobody_waiting(world: World, needs: dict[str, Any]) -> None:
    server = world(workers=2)
    _, doomed = server.ask(slo_ms=100, **needs)
    server.router.replan(Engine(server.profile.only({"small"}), policies.named("slackfit"), "drop", 2), max_queue=9)
    _, other = server.ask(slo_ms=100)
    server.links[0].die()
    server.advance(50)
    assert doomed.refusal is Invalid
    assert other.answer.subnet == "small"
    assert server.statuses() == ["failed", "met"]


def test_an_idle_worker_begins_what_only_the_new_plan_would_run(world: World) -> None:
    server = world(policy="max-accuracy", late="drop")

    def patient(profile, workers):  # type: ignore[no-untyped-def]
        return lambda slack_ns, depth: WAIT

    server.router.replan(Engine(server.profile, Policy("patient", patient), "drop", 1), max_queue=9)
    _, reply = server.ask(slo_ms=100)
    server.advance(50)
    assert reply.told_ms is None
    assert server.router.oldest_s == 0.05
    server.router.replan(Engine(server.profile, policies.named("slackfit"), "drop", 1), max_queue=9)
    server.advance(20)
    assert reply.answer is not None
