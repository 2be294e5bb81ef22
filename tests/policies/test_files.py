import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core.nouns import WAIT, Choice
from superserve_cli.errors import SuperserveError
from superserve_cli.policies import DecisionTable, compile, finished, named, save
from superserve_cli.profiles import Profile

TINY = Profile(("fast", "mid", "good"), (1, 4), ((10, 20), (15, 40), (20, 60)), (0.6, 0.7, 0.9), metadata={"name": "tiny", "hash": "abc"})
TOLD = {"traces": ["poisson"], "seed": 7}


def written(path: Path, spec: str = "price") -> DecisionTable:
    table = compile(named(spec), TINY, 2)
    save(path, table, workers=2, slo_ns=100, provenance=TOLD)
    return table


@pytest.mark.parametrize("spec", ["price", "slackfit", "max-accuracy"])
def test_a_table_comes_back_from_its_file_as_it_was(tmp_path: Path, spec: str) -> None:
    table = written(tmp_path / "mine.json", spec)
    again = compile(named(f"{tmp_path}/mine.json"), TINY, 2)
    assert replace(again, policy=spec, differs=table.differs) == table
    assert again.policy == "mine.json"


def test_waiting_comes_back_too(tmp_path: Path) -> None:
    table = DecisionTable("t.json", TINY, (-(2**62), 20), (1, 4), ((-1, -1), (-2, 1)))
    save(tmp_path / "t.json", table, workers=2, slo_ns=100, provenance={})
    again = compile(named(f"{tmp_path}/t.json"), TINY, 2)
    assert again == table
    assert (again(20, 3), again(19, 3)) == (WAIT, None)
    assert compile(finished(table), TINY.only({"good"}), 2)(20, 3) == WAIT


def test_a_file_says_what_it_was_made_for_and_from(tmp_path: Path) -> None:
    written(tmp_path / "mine.json")
    said = json.loads((tmp_path / "mine.json").read_text())
    assert (said["schema"], said["profile"]) == ("policy/1", {"name": "tiny", "hash": "abc"})
    assert (said["workers"], said["slo_ns"], said["provenance"]) == (2, 100, TOLD)
    assert said["cells"][-1][0] == [2, 1]  # plenty of slack, one request: good, alone


def test_another_profile_is_refused_with_both_hashes(tmp_path: Path) -> None:
    written(tmp_path / "mine.json")
    with pytest.raises(SuperserveError, match=r"made for the profile abc, and this one is xyz"):
        compile(named(f"{tmp_path}/mine.json"), replace(TINY, metadata={"hash": "xyz"}), 2)


def test_other_served_subnets_and_another_number_of_workers_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "mine.json")
    with pytest.raises(SuperserveError, match="made for the served subnets fast, mid, good; here they are fast, good"):
        compile(named(f"{tmp_path}/mine.json"), TINY.only({"fast", "good"}), 2)
    with pytest.raises(SuperserveError, match="made for 2 workers, and here they are 3"):
        compile(named(f"{tmp_path}/mine.json"), TINY, 3)


def test_under_a_floor_a_cell_falls_to_the_fastest_subnet_left_in_a_batch_that_fits(tmp_path: Path) -> None:
    table = DecisionTable("t", TINY, (-(2**62), 20, 40), (1, 4), ((-1, -1), (0, 1), (0, 1)))  # fast alone, or in fours
    save(tmp_path / "t.json", table, workers=2, slo_ns=100, provenance={})
    floor = TINY.only({"mid", "good"})
    for policy in (named(f"{tmp_path}/t.json"), finished(table)):
        under = compile(policy, floor, 2)
        assert [under(20, 1), under(20, 4), under(40, 4)] == [Choice("mid", 1), Choice("mid", 1), Choice("mid", 4)]
    only_good = compile(finished(table), TINY.only({"good"}), 2)
    assert [only_good(19, 1), only_good(20, 4), only_good(59, 4)] == [None, Choice("good", 1), Choice("good", 1)]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([0.0, 0.65, 0.8]), st.integers(-5, 200), st.integers(1, 50))
def test_no_choice_is_below_the_floor_or_longer_than_the_slack(floor: float, slack_ns: int, depth: int) -> None:
    able = TINY.only([s for s in TINY.subnets if (TINY.accuracy(s) or 0) >= floor])
    choice = compile(finished(compile(named("price"), TINY, 2)), able, 2)(slack_ns, depth)
    if choice is not None:
        assert (TINY.accuracy(choice.subnet) or 0) >= floor
        assert TINY.plan_ns(*choice) <= slack_ns


def less(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda said: said.pop(key)


def with_(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda said: said.update({key: value})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (with_("schema", "policy/2"), "holds policy/2, not policy/1"),
        (less("cells"), "'cells' is missing"),
        (less("profile"), "'profile' is missing"),
        (with_("slack_ns", [5, 5]), "slack_ns must be whole numbers from 1 that ascend"),
        (with_("slack_ns", ["a"]), "slack_ns must be whole numbers"),
        (with_("slack_ns", [20, 2**63]), "slack_ns must be whole numbers"),
        (with_("depth", [1, 10**30]), "depth must be whole numbers"),
        (with_("depth", [2, 3]), "depth must begin with 1"),
        (with_("cells", [[None]]), "a row per slack_ns"),
        (with_("cells", 7), "is damaged"),
        (with_("subnets", ["fast"]), "a number per subnet"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], says: str) -> None:
    path = tmp_path / "mine.json"
    written(path)
    said = json.loads(path.read_text())
    spoil(said)
    path.write_text(json.dumps(said))
    with pytest.raises(SuperserveError, match=says):
        named(str(path))


@pytest.mark.parametrize(
    ("cell", "says"), [([9, 1], "neither null"), ([0, 3], "neither null"), ("ab", "neither null"), ([2, 4], "needs more")]
)
def test_a_cell_that_is_no_choice_or_does_not_fit_is_refused(tmp_path: Path, cell: object, says: str) -> None:
    path = tmp_path / "mine.json"
    written(path)
    said = json.loads(path.read_text())
    said["cells"][0][0] = cell
    path.write_text(json.dumps(said))
    with pytest.raises(SuperserveError, match=says):
        compile(named(str(path)), TINY, 2)


@pytest.mark.parametrize(("text", "says"), [("[]", "holds no object"), ("{}", "holds no schema"), ("{", "is not a policy file")])
def test_what_is_no_policy_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(SuperserveError, match=says):
        named(f"{tmp_path}/mine.json")


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(SuperserveError, match=r"there is no nowhere\.json"):
        named("nowhere.json")
