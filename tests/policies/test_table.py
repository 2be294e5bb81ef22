from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.nouns import Choice, Choose
from superserve_cli.errors import SuperserveError
from superserve_cli.policies import ALL, Policy, compile, named
from superserve_cli.policies.names import every
from superserve_cli.profiles import Profile
from tests.engine.test_simulator import SMALL, profiles

NAN = float("nan")
NAMES = ["slackfit", "slackfit:1", "slackfit:5", "max-batch", "max-accuracy", "infaas"]


@settings(max_examples=200, deadline=None)
@given(profiles(), st.sampled_from(NAMES), st.integers(-50, 120), st.integers(1, 10_000))
def test_a_table_answers_as_its_policy_does(profile: Profile, name: str, slack_ns: int, depth: int) -> None:
    policy = named(name)
    own = policy.restrict(profile)
    assert compile(policy, profile, 2)(slack_ns, depth) == policy.build(own, 2)(slack_ns, depth)


@settings(max_examples=100, deadline=None)
@given(profiles(), st.sampled_from(NAMES), st.integers(1, 100), st.integers(1, 100))
def test_a_table_answers_as_its_policy_does_on_both_sides_of_every_breakpoint(profile: Profile, name: str, first: int, second: int) -> None:
    compared = {first: Choice(profile.subnets[0], 1), second: Choice(profile.subnets[-1], 4)}

    def deep(slack: int, depth: int) -> Choice | None:
        return next((choice for edge, choice in compared.items() if slack >= edge and depth > edge), None)

    own, by_depth = named(name).restrict(profile), Policy("mine", lambda profile, workers: deep)
    for policy, served in ((named(name), own), (by_depth, profile)):
        table, choose = compile(policy, profile, 2), policy.build(served, 2)
        slacks = {edge + step for edge in table.slack_ns[1:] for step in (-1, 0, 1)}
        depths = {max(1, edge + step) for edge in table.depth for step in (-1, 0, 1)}
        assert all(table(slack, depth) == choose(slack, depth) for slack in slacks for depth in depths)


@settings(max_examples=200, deadline=None)
@given(profiles(), st.sampled_from(NAMES), st.integers(-50, 200))
def test_every_choice_fits_the_slack(profile: Profile, name: str, slack_ns: int) -> None:
    choice = compile(named(name), profile, 2)(slack_ns, 1)
    assert choice is None or profile.plan_ns(*choice) <= slack_ns


@settings(max_examples=100, deadline=None)
@given(profiles(), st.integers(-50, 200))
def test_max_accuracy_is_never_less_accurate_than_any_other_choice(profile: Profile, slack_ns: int) -> None:
    best = compile(named("max-accuracy"), profile, 1)(slack_ns, 1)
    fits = [s for s in profile.subnets if profile.plan_ns(s, 1) <= slack_ns]
    assert (best is None) == (not fits)
    if best:
        assert profile.accuracy(best.subnet) == max(profile.accuracy(s) or 0 for s in fits)


def test_slackfit_keeps_the_largest_batch_of_each_bucket_then_the_best_accuracy() -> None:
    table = compile(named("slackfit:2"), SMALL, 1)  # s0: 10 12 20, s1: 20 30 50; buckets 10..30 and 31..50
    assert [table(slack, 1) for slack in (9, 10, 19, 20, 49, 50)] == [None, None, None, Choice("s0", 4), Choice("s0", 4), Choice("s1", 4)]


def test_every_covers_all_policies_and_up_to_six_fixed_subnets() -> None:
    assert [p.name for p in every(SMALL)] == [*ALL, "fixed:s0", "fixed:s1"]


def custom(choose: Choose) -> Policy:
    return Policy("mine", lambda profile, workers: choose)


def test_a_policy_may_look_at_the_depth() -> None:
    table = compile(custom(lambda slack, depth: Choice("s0", 4 if depth > 3 else 1) if slack >= 10 else None), SMALL, 1)
    assert [table(10, depth) for depth in (1, 3, 4, 9)] == [Choice("s0", 1), Choice("s0", 1), Choice("s0", 4), Choice("s0", 4)]


@pytest.mark.parametrize(
    ("choose", "says"),
    [
        (lambda slack, depth: Choice("s0", 1) if slack / 2 > 10 else None, "cannot become a table"),
        (lambda slack, depth: [1], "chose \\[1\\]"),
        (lambda slack, depth: Choice("s9", 1), "chose"),
        (lambda slack, depth: Choice("s0", 3), "chose"),
        (lambda slack, depth: Choice("s0", 1) if slack > NAN else None, "cannot become a table"),
    ],
)
def test_a_policy_that_no_table_represents_is_refused(choose: Choose, says: str) -> None:
    with pytest.raises(SuperserveError, match=says):
        compile(custom(choose), SMALL, 1)


def test_a_policy_that_changes_its_mind_is_refused() -> None:
    asked: list[int] = []

    def moody(slack: int, depth: int) -> Choice | None:
        asked.append(0)
        return Choice("s0", 1 if len(asked) % 3 else 2)

    with pytest.raises(SuperserveError, match="more than compare"):
        compile(custom(moody), SMALL, 1)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("slakfit", "no policy 'slakfit'"),
        ("slackfit:0", "no '0' buckets"),
        ("slackfit:x", "no 'x' buckets"),
        ("max-batch:3", "takes no argument"),
        ("infaas:3", "no accuracy floor '3'"),
        ("nowhere.py:f", "there is no nowhere.py"),
    ],
)
def test_unknown_policies_are_refused(name: str, says: str) -> None:
    with pytest.raises(SuperserveError, match=says):
        named(name)


USERS = """
from superserve_cli.core.nouns import Choice

def smallest(profile, workers):
    def choose(slack_ns, depth):
        return Choice(profile.subnets[0], profile.smallest) if slack_ns >= 0 else None
    return choose

def broken(profile, workers):
    return 1 / 0

def nothing(profile, workers):
    return None

def leaving(profile, workers):
    raise SystemExit

def unsure(profile, workers):
    return lambda slack_ns, depth: {}["choice"]

def talking(profile, workers):
    print("building")
    return lambda slack_ns, depth: print("choosing")

number = 3
"""


def test_a_users_own_policy_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(USERS)
    policy = named(f"{tmp_path}/mine.py:smallest")
    assert policy.name == "mine.py:smallest"
    assert compile(policy, SMALL, 1)(5, 1) == Choice("s0", 1)


@pytest.mark.parametrize(
    ("name", "says"), [("broken", "ZeroDivisionError"), ("nothing", "returned None"), ("leaving", "SystemExit"), ("unsure", "KeyError")]
)
def test_a_users_mistake_is_told_as_the_users(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(USERS)
    with pytest.raises(SuperserveError, match=says):
        compile(named(f"{tmp_path}/mine.py:{name}"), SMALL, 1)


def test_what_a_users_policy_prints_is_talk_and_not_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(USERS)
    compile(named(f"{tmp_path}/mine.py:talking"), SMALL, 1)
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith("building\nchoosing\n")


@pytest.mark.parametrize(
    ("text", "name", "says"), [(USERS, "number", "no function"), (USERS, "smalest", "no function"), ("def (", "f", "SyntaxError")]
)
def test_a_file_without_that_function_is_refused(tmp_path: Path, text: str, name: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(SuperserveError, match=says):
        named(f"{tmp_path}/mine.py:{name}")


def test_unknown_accuracies_are_refused_by_policies_that_rank_by_them() -> None:
    unknown = Profile(SMALL.subnets, SMALL.batch_sizes, SMALL.plan, (None, 0.8))
    for name in ("slackfit", "max-batch", "max-accuracy", "infaas", "price"):
        with pytest.raises(SuperserveError, match="does not know the accuracy of subnet s0"):
            compile(named(name), unknown, 1)
    assert compile(named("fixed:s0"), unknown, 1)(10, 1) == Choice("s0", 1)
