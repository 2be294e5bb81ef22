"""A user's own policy with a memory: the same hook that the peers have."""

from pathlib import Path

import pytest

from superserve_cli.core.outcomes import MET
from superserve_cli.engine.simulator import simulate
from superserve_cli.errors import SuperserveError
from superserve_cli.policies import Control, Policy, named
from tests.engine.test_simulator import SMALL, trace

MINE = """
from superserve_cli.core.nouns import Choice
from superserve_cli.policies import Control, Policy

def one(subnet):
    return Policy("one", lambda profile, workers: lambda slack, depth: Choice(subnet, 1) if slack >= 20 else None)

def mine(profile, workers):
    return one("s0").build(profile, workers)

def control(profile, workers, slo_ns):
    return Control((one("s0"), one("s1")), tick=tick, first_ns=100, period_ns=100)

def tick(seen):
    return {tick}

mine.control = {control}
"""


def policy(folder: Path, tick: str = "[seen.arrived % 2, 1]", control: str = "control") -> Policy:
    (folder / "mine.py").write_text(MINE.replace("{tick}", tick).replace("{control}", control))
    return named(f"{folder}/mine.py:mine")


def run(own: Policy) -> list[str]:
    ended = simulate(trace([0, 100, 150], [50] * 3), SMALL, own, workers=2, slo_ns=50)
    assert (ended.status == MET).all()
    return [ended.subnets[s] for s in ended.subnet]


def test_its_control_loop_changes_what_workers_run(tmp_path: Path) -> None:
    assert run(policy(tmp_path)) == ["s0", "s1", "s1"]


@pytest.mark.parametrize(
    ("tick", "control", "says"),
    [
        ("[0]", "control", "returned \\[0\\]"),
        ("[0, 2]", "control", "returned \\[0, 2\\]"),
        ("1 / 0", "control", "ZeroDivisionError"),
        ("[0, 0]", "lambda *_: None", "returned None"),
        ("[0, 0]", "lambda *_: Control(())", "with 0 modes"),
        ("[0, 0]", "lambda *_: Control((one('s0'),), met=(1,))", "met is \\(1,\\)"),
        ("[0, 0]", "lambda *_: Control((one('s0'),), tick=tick)", "every 0 ns"),
        ("[0, 0]", "lambda *_: 1 / 0", "ZeroDivisionError"),
        ("[0, 0]", "lambda p, w, s: Control((Policy('a', lambda p, w: lambda s, d: {}['x']),))", "failed when it was asked: KeyError: 'x'"),
        ("[0, 0]", "lambda p, w, s: Control((one('s0'),), load_ns=2**62)", "the times"),
        ("[0, 0]", "lambda p, w, s: Control((one('s0'),), tick=tick, period_ns=1.5)", "the times"),
    ],
)
def test_a_users_mistake_is_told_as_the_users(tmp_path: Path, tick: str, control: str, says: str) -> None:
    with pytest.raises(SuperserveError, match=says):
        run(policy(tmp_path, tick, control))


def test_a_mode_that_does_not_exist_never_reaches_compiled_code() -> None:
    with pytest.raises(SuperserveError, match="late is"):
        Control((named("slackfit"),), late=(-1,))
