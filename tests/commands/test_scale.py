import json

import pytest

from superserve_cli.app import run

SMALL = ("scale", "--workers", "8", "--mean-qps", "4000", "--duration", "0.5", "--seeds", "1", "--routers", "1", "--routers", "2")


def test_a_table_and_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SMALL, "--policy", "slackfit", "--json"]) == 0
    shared = json.loads(capsys.readouterr().out)["shared"]
    assert run([*SMALL, "--policy", "slackfit"]) == 0
    table = capsys.readouterr().out
    assert len(shared) == 5
    assert all(f"{100 * one['utility']:.2f}" in table for one in shared)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--routers", "9"), "9 routers for 8 workers"),
        (("--policy", "best"), "no policy 'best'"),
        (("--workers", "0"), "0 workers"),
        (("--mean-qps", "-1"), "--mean-qps is -1"),
        (("--late", "never"), "no late rule 'never'"),
    ],
)
def test_what_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str], wrong: tuple[str, str], says: str) -> None:
    assert run([*SMALL, *wrong]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not said.out
