from dataclasses import replace
from pathlib import Path

import pytest

from superserve_cli import policies, profiles
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.tls import Tls


def settings(shift: float = 0) -> Settings:
    profile = profiles.load("cpu")
    if shift:
        profile = replace(profile, metadata={**profile.metadata, "shift": shift})
    return Settings([], profile.served(None), policies.named("slackfit"), "shed", 10**9)


def test_a_running_server_keeps_what_cannot_change_and_its_name_is_said() -> None:
    running = settings()
    asked = replace(running, port=1, record=True, slo_ns=5, tls=Tls(Path("cert"), Path("key")))
    taken, others = asked.beside(running)
    assert others == ["port", "record", "tls"]
    assert taken == replace(running, slo_ns=5)
    renewed = replace(asked, tls=Tls(Path("other"), Path("key"))).beside(replace(running, tls=asked.tls))
    assert renewed[1] == ["port", "record"]
    assert renewed[0].tls == Tls(Path("other"), Path("key"))


@pytest.mark.parametrize(("shift", "same"), [(0, True), (1, False)])
def test_a_profile_that_says_the_same_is_the_same_one_so_that_its_tables_are_known(shift: float, same: bool) -> None:
    running, asked = settings(), settings(shift)
    assert (asked.beside(running)[0].profile is running.profile) == same
    assert asked.profile is not running.profile
