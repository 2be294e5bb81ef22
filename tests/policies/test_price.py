from dataclasses import replace
from math import inf
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli import profiles
from superserve_cli.core.nouns import Choice
from superserve_cli.errors import SuperserveError
from superserve_cli.policies import Policy, compile, grid, named
from superserve_cli.policies.price import price
from superserve_cli.profiles import Profile
from tests.engine.test_simulator import profiles as any_profile

TINY = Profile(("fast", "good"), (1, 4), ((10, 20), (20, 60)), (0.6, 0.9))
"""Least time per request: fast 5 (in batches of 4), good 15; slope 0.3 / 10 = 0.03; the shortest latency is 10."""


def test_with_time_to_spare_the_most_accurate_subnet_runs() -> None:
    # one request, slack 1000: load 1/990, theta = 0.6 * 0.03 * (15/990) ** 0.9 = 0.0004; fast loses 0.3 and good nothing
    assert price(0.6)(TINY, 1)(1000, 1) == Choice("good", 1)


def test_at_a_high_price_the_batch_that_takes_least_time_per_request_runs() -> None:
    # 100 requests, slack 60: load 2, theta = 0.6 * 0.03 * 30 ** 0.9 + 0.012 * 10 ** 2.5 = 4.2; fast in fours costs 5 per request
    assert price(0.6)(TINY, 1)(60, 100) == Choice("fast", 4)


def test_where_the_price_turns_the_choice_by_hand() -> None:
    # 4 requests, slack 60: good in fours costs 10 more per request and brings 0.3 more, so it wins while theta < 0.03.
    # One worker: load 0.08, theta = 0.6 * 0.03 * 1.2 ** 0.9 + 0.012 * 0.4 ** 2.5 = 0.0212 + 0.0012 = 0.0224
    assert price(0.6)(TINY, 1)(60, 4) == Choice("good", 4)
    # a scale of 1 makes it 0.0353 + 0.0012 = 0.0365
    assert price(1.0)(TINY, 1)(60, 4) == Choice("fast", 4)
    # two workers halve the load: 0.03 * 0.6 ** 0.9 + 0.012 * 0.2 ** 2.5 = 0.0189 + 0.0002 = 0.0191
    assert price(1.0)(TINY, 2)(60, 4) == Choice("good", 4)


def test_what_does_not_fit_is_not_bought_at_any_price() -> None:
    choose = price(0.6)(TINY, 100)
    assert [choose(slack, 4) for slack in (9, 10, 19, 20)] == [None, Choice("fast", 1), Choice("fast", 1), Choice("good", 1)]


@settings(max_examples=200, deadline=None)
@given(any_profile(), st.integers(1, 9), st.integers(-50, 500), st.integers(1, 10_000))
def test_every_choice_fits_and_none_is_given_only_where_nothing_fits(profile: Profile, workers: int, slack_ns: int, depth: int) -> None:
    choice = price(0.6)(profile, workers)(slack_ns, depth)
    holds = next((size for size in profile.batch_sizes if size >= depth), profile.largest)
    if choice is None:
        assert not any(profile.plan_ns(s, b) <= slack_ns for s in profile.subnets for b in profile.batch_sizes if b <= holds)
    else:
        assert profile.plan_ns(*choice) <= slack_ns
        assert profile.plan_ns(choice.subnet, min(choice.batch_size, depth)) <= slack_ns


@settings(max_examples=20, deadline=None)
@given(any_profile(), st.integers(1, 9))
def test_its_table_answers_as_it_does_at_every_point_of_the_grid(profile: Profile, workers: int) -> None:
    table, choose = compile(named("price"), profile, workers), named("price").build(profile, workers)
    for slack_ns in grid.slacks(profile)[::5]:
        for depth in grid.depths(profile)[::7]:
            assert table(slack_ns, depth) == choose(slack_ns, depth)


@settings(max_examples=20, deadline=None)
@given(any_profile(), st.lists(st.tuples(st.integers(-50, 2000), st.integers(1, 10_000)), min_size=20))
def test_every_choice_of_its_table_fits_between_the_points_too(profile: Profile, points: list[tuple[int, int]]) -> None:
    table = compile(named("price"), profile, 2)
    for slack_ns, depth in points:
        choice = table(slack_ns, depth)
        assert choice is None or profile.plan_ns(*choice) <= slack_ns


@pytest.mark.parametrize("name", ["modelled", "cpu"])
def test_on_shipped_profiles_its_table_is_small_and_close(name: str) -> None:
    table = compile(named("price"), profiles.load(name).served(), 8)
    assert len(table.slack_ns) * len(table.depth) <= 64_000
    assert 0 < table.differs < 0.05


def test_a_front_of_two_hundred_subnets_is_compiled_in_moments() -> None:
    sizes, subnets = (1, 2, 4, 8, 16), range(200)
    plan = tuple(tuple(1_000_000 + 10_000 * s + (200_000 + 1_000 * s) * b for b in sizes) for s in subnets)
    front = Profile(tuple(f"{s:03}" for s in subnets), sizes, plan, tuple(0.7 + 0.0005 * s for s in subnets))
    began_s = process_time()
    assert compile(named("price"), front, 8).differs < 0.05
    assert process_time() - began_s < 10  # asked in plain Python, batch by batch, it was a minute


def test_exact_tables_differ_nowhere() -> None:
    assert compile(named("slackfit"), TINY, 8).differs == 0


@pytest.mark.parametrize("name", ["price:0", "price:-1", "price:x", "price:nan", "price:1e300", f"price:{inf}"])
def test_a_scale_that_is_no_positive_number_is_refused(name: str) -> None:
    with pytest.raises(SuperserveError, match="cannot be scaled by"):
        named(name)


def test_unknown_accuracies_are_refused() -> None:
    with pytest.raises(SuperserveError, match="does not know the accuracy of subnet fast"):
        compile(named("price"), replace(TINY, accuracies=(None, 0.9)), 1)


def test_a_users_policy_that_computes_says_so_with_a_grid(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from superserve_cli.core.nouns import Choice\n"
        "def half(profile, workers):\n"
        "    return lambda slack_ns, depth: Choice('fast', 1) if slack_ns / 2 >= 10 else None\n"
        "def gridded(profile, workers):\n"
        "    return half(profile, workers)\n"
        "gridded.grid = True\n"
    )
    with pytest.raises(SuperserveError, match="cannot become a table") as refused:
        compile(named(f"{tmp_path}/mine.py:half"), TINY, 1)
    assert "grid = True" in refused.value.hint
    table = compile(named(f"{tmp_path}/mine.py:gridded"), TINY, 1)
    assert [table(slack, 1) for slack in (19, 20, 60)] == [None, Choice("fast", 1), Choice("fast", 1)]


def test_a_policy_with_a_grid_may_have_no_choice_at_all() -> None:
    table = compile(Policy("never", lambda profile, workers: lambda slack, depth: None, grid=True), TINY, 1)
    assert (table(60, 1), table.differs) == (None, 0)


def test_a_policy_with_a_grid_must_not_choose_what_does_not_fit() -> None:
    with pytest.raises(SuperserveError, match="too short for it"):
        compile(Policy("bold", lambda profile, workers: lambda slack, depth: Choice("good", 4), grid=True), TINY, 1)
