import json

import pytest

from superserve_cli.app import run


@pytest.mark.parametrize(
    ("what", "named"),
    [("policies", "slackfit"), ("traces", "azure:FILE"), ("profiles", "modelled"), ("families", "conv")],
)
def test_every_list_names_what_other_commands_take(what: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", what, "--json"]) == 0
    assert named in json.loads(capsys.readouterr().out)
    assert run(["list", what]) == 0
    assert named in capsys.readouterr().out


def test_an_unknown_list_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "nope"]) == 2
    assert "policies, traces, profiles, families" in capsys.readouterr().err
