import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superserve_cli.errors import BadOption, SuperserveError
from superserve_cli.policies import Policy, named
from superserve_cli.profiles import Profile
from superserve_cli.reports import metrics
from superserve_cli.studies.capacity import answers
from superserve_cli.studies.capacity.asked import RATE, WORKERS, Asked, ask
from superserve_cli.studies.capacity.search import STEP, Found, Ladder, Load, Question, find, find_all, fleets, rates
from superserve_cli.traces import Trace

MS = 1_000_000
STEADY = Profile(("s",), (1,), ((10 * MS,),), (0.8,))
"""One subnet that answers one request in 10 ms: a worker does 100 a second."""
TWO = Profile(("s", "l"), (1, 4), ((2 * MS, 5 * MS), (6 * MS, 20 * MS)), (0.7, 0.9))


def evenly(qps: float, seed: int) -> Trace:
    """Arrivals at equal gaps for ten seconds."""
    return Trace(np.arange(round(10 * qps)) * round(1e9 / qps))


def question(**changes: Any) -> Question:
    return Question(**{"arrivals": evenly, "profile": STEADY, "duration_s": 10.0, "slo_ns": 10 * MS, "seeds": (0,), **changes})


def carried(asked: Question, ladder: Ladder, policy: str = "fixed:s") -> Found:
    return find(asked, named(policy), ladder, lambda load: None)


def just_below(qps: float, found: Found) -> bool:
    """Whether a rate is sustained, and the step above it would be more than `qps`."""
    assert found.at is not None
    return found.at.qps <= qps < found.at.qps * STEP * 1.001


@pytest.mark.parametrize("workers", [1, 3])
def test_without_slack_workers_carry_what_they_do_in_a_second(workers: int) -> None:
    assert just_below(100 * workers, carried(question(attainment=1.0), rates(question(), workers)))


def test_where_every_other_request_may_be_missed_a_worker_carries_twice_as_much() -> None:
    """Between 100 and 200 a second each request that is served lets one pass that can no longer be met; above, two."""
    assert just_below(200, carried(question(attainment=0.5, late="drop"), rates(question(), 1)))


def test_the_fewest_workers_do_and_one_fewer_does_not() -> None:
    found = carried(question(attainment=1.0), fleets(question(), 250.0))
    assert found.at == Load(250.0, 3)
    assert found.beyond is not None
    assert found.beyond[0] == Load(250.0, 2)
    assert found.beyond[1].attainment < 1


def test_one_worker_is_the_fewest_there_can_be() -> None:
    found = carried(question(), fleets(question(), 50.0))
    assert (found.at, found.beyond) == (Load(50.0, 1), None)


def test_a_policy_that_never_answers_in_time_is_a_result() -> None:
    asked = question(slo_ns=9 * MS)
    for ladder in (rates(asked, 8), fleets(asked, 40.0)):
        found = carried(asked, ladder)
        assert (found.at, found.alone, found.tally.attainment, found.tally.accuracy) == (None, (None,), 0, None)


def test_a_search_that_ends_before_the_limit_is_missed_says_so() -> None:
    few = Ladder(lambda number: Load(10.0 + number, 1), 0, 5, 0, 1)
    found = carried(question(), few)
    assert (found.at, found.beyond) == (Load(15.0, 1), None)


def poisson(qps: float, seed: int) -> Trace:
    return Trace(np.sort(np.random.default_rng(seed).integers(0, 4 * 10**9, max(1, round(4 * qps)))))


def test_seeds_are_pooled_and_fresh_ones_are_not_searched() -> None:
    asked = question(arrivals=poisson, profile=TWO, duration_s=4.0, slo_ns=30 * MS, attainment=0.98, seeds=(0, 1, 2), fresh=(3, 4, 5))
    found = carried(asked, rates(asked, 2), "max-batch")
    assert found.at is not None
    assert found.beyond is not None
    assert found.fresh is not None
    assert found.tally.attainment >= 0.98 > found.beyond[1].attainment
    assert (found.tally.requests, found.tally.met) == (sum(t.requests for t in found.by_seed), sum(t.met for t in found.by_seed))
    lowest, highest = min(a.qps for a in found.alone if a), max(a.qps for a in found.alone if a)
    assert lowest <= found.at.qps <= highest
    assert found.tally.utility == pytest.approx((found.tally.accuracy or 0) * found.tally.attainment)


def test_each_load_and_seed_is_simulated_once_and_fleets_share_their_traces() -> None:
    made: list[tuple[float, int]] = []

    def noted(qps: float, seed: int) -> Trace:
        made.append((qps, seed))
        return poisson(qps, seed)

    asked = question(arrivals=noted, profile=TWO, slo_ns=30 * MS, seeds=(0, 1), fresh=(2, 3))
    watched: list[Load] = []
    find(asked, named("infaas"), fleets(asked, 900.0), watched.append)
    assert sorted(made) == [(900.0, seed) for seed in range(4)]
    assert all(watched.count(load) <= 4 for load in watched)


def test_policies_are_ranked_by_what_they_carry() -> None:
    asked = question(profile=TWO, slo_ns=30 * MS)
    policies = [named(p) for p in ("fixed:l", "fixed:s")]
    assert [one.policy for one in find_all(asked, policies, rates(asked, 1))] == ["fixed:s", "fixed:l"]
    assert [one.policy for one in find_all(asked, policies, fleets(asked, 700.0))] == ["fixed:s", "fixed:l"]


@pytest.mark.parametrize(
    ("changes", "says"), [({"attainment": 0.0}, "attainment is 0"), ({"attainment": 1.1}, "is 1.1"), ({"seeds": ()}, "0 seeds")]
)
def test_a_question_that_makes_no_sense_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadOption, match=says):
        question(**changes)


OPTIONS: dict[str, Any] = {
    "workers": None, "mean_qps": None, "mix": None, "duration_s": 2.0, "seeds": 2, "slo_ns": 30 * MS, "late": "shed", "service": None,
    "attainment": 0.99,
}  # fmt: skip


def test_what_a_rate_search_found_is_what_a_replay_at_that_rate_shows() -> None:
    from superserve_cli import traces
    from superserve_cli.engine.simulator import simulate

    asked = ask("bursty", TWO, **OPTIONS)
    (found,) = find_all(asked.question, [named("max-batch")], asked.ladder)
    assert found.at is not None
    assert asked.search == RATE
    again = simulate(
        traces.load("bursty", qps=found.at.qps, duration_s=2.0, seed=1), TWO, named("max-batch"), workers=8, slo_ns=30 * MS, seed=1
    )
    assert metrics.attainment(again) == found.by_seed[1].attainment


def test_a_file_has_its_own_rate_and_one_seed_where_nothing_is_random(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("arrival_s\n" + "".join(f"{i / 500}\n" for i in range(1000)))
    asked = ask(f"file:{path}", TWO, **{**OPTIONS, "duration_s": None})
    (found,) = find_all(asked.question, [named("fixed:s")], asked.ladder)
    assert asked.search == WORKERS
    assert asked.about["mean_qps"] == pytest.approx(500, rel=0.01)
    assert found.at is not None
    assert found.at.workers == 1
    assert (len(found.by_seed), found.fresh) == (1, None)


@pytest.mark.parametrize(
    ("trace", "changes", "says"),
    [
        ("bursty", {"workers": 0}, "0 workers"),
        ("bursty", {"workers": 2, "mean_qps": 5.0}, "leave nothing to search"),
        ("bursty", {"mean_qps": -5.0}, "--mean-qps is -5"),
        ("bursty", {"duration_s": 0.0}, "--duration is 0"),
        ("bursty", {"duration_s": float("nan")}, "--duration is nan"),
        ("bursty", {"late": "never"}, "no late rule"),
        ("bursty", {"service": "measured"}, "no quantiles"),
        ("bursty:x", {}, "is not a number"),
        ("nobody", {}, "no trace 'nobody'"),
        ("file:t.csv", {"workers": 2}, "no other rate can be tried"),
        ("file:t.csv", {"mean_qps": 2.0}, "--mean-qps and --duration cannot go with this trace"),
        ("file:missing.csv", {"duration_s": None}, "there is no missing.csv"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(trace: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SuperserveError, match=says):
        ask(trace, TWO, **{**OPTIONS, **changes})


def answered(policies: list[str], **changes: Any) -> tuple[Any, list[Found]]:
    asked = ask("bursty", TWO, **{**OPTIONS, **changes})
    chosen: list[Policy] = [named(policy) for policy in policies]
    return asked, find_all(asked.question, chosen, asked.ladder)


def test_json_page_and_picture_tell_the_same(tmp_path: Path) -> None:
    asked, found = answered(["max-batch", "fixed:l"], workers=1)
    answers.write(tmp_path / "c", asked, found)
    told = json.loads((tmp_path / "c" / "capacity.json").read_text())
    assert [policy["policy"] for policy in told["policies"]] == ["max-batch", "fixed:l"]
    best = told["policies"][0]
    assert best["qps"] == found[0].at.qps if found[0].at else False
    assert best["attainment"] >= 0.99 > best["next"]["attainment"]
    page = (tmp_path / "c" / "report.md").read_text()
    assert f"{best['qps']:,.6g}" in page
    assert "# The largest rate on 1 worker at an attainment of 99 %" in page
    picture = (tmp_path / "c" / "capacity.svg").read_text()
    assert "max-batch" in picture
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == sorted(answers.NAMES)


def test_requests_that_a_policy_can_never_serve_are_told_from_those_that_it_misses() -> None:
    def picky(qps: float, seed: int) -> Trace:
        return replace(evenly(qps, seed), min_accuracy=np.resize([0.0, 0.0, 0.0, 0.85], len(evenly(qps, seed))))

    asked = question(arrivals=picky, profile=TWO, slo_ns=30 * MS)
    found = [carried(asked, rates(asked, 2), "fixed:s"), carried(asked, rates(asked, 2), "fixed:l")]
    assert found[0].at is None
    assert found[0].tally.rejected / found[0].tally.requests == pytest.approx(0.25, abs=0.05)
    assert found[1].tally.rejected == 0
    said = answers.remarks(Asked(RATE, asked, rates(asked, 2), {}), found)
    assert said[1].startswith("fixed:s rejects 2")
    assert said[1].endswith("% of the requests even there: no subnet for their floor or size, or its own admission")


def test_the_table_says_none_where_the_limit_is_reached_nowhere() -> None:
    asked, found = answered(["fixed:s", "fixed:l"], slo_ns=4 * MS, mean_qps=300.0)
    assert [row[1:3] for row in answers.rows(asked, found)][1] == ("none", "none")
    assert answers.remarks(asked, found)[0].startswith("none: below 99 % even on ")
    told = answers.as_json(asked, found)["policies"][1]
    assert (told["found"], told["workers"], told["by_seed"]) == (False, None, [None, None])
