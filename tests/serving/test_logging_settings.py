import logging
from collections.abc import Iterator
from typing import Any

import pytest

from superserve_cli.serving import logging_settings
from superserve_cli.serving.refusals import Invalid, Unsupported


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    root = logging_settings.ROOT
    before = root.level
    root.setLevel(logging.INFO)
    yield
    root.setLevel(before)


@pytest.mark.parametrize(
    ("asked", "level"),
    [
        ({}, logging.INFO),
        ({"log_verbose_level": 1}, logging.DEBUG),
        ({"log_info": False}, logging.WARNING),
        ({"log_info": False, "log_warning": False}, logging.ERROR),
        ({"log_info": False, "log_warning": False, "log_error": False}, logging.CRITICAL),
        ({"log_file": "", "log_format": "default"}, logging.INFO),
    ],
)
def test_what_is_logged_is_what_the_settings_say(asked: dict[str, Any], level: int) -> None:
    said = logging_settings.change(asked)
    assert logging_settings.ROOT.level == level
    assert said == logging_settings.settings()
    assert {name: said[name] for name in asked} == asked
    assert logging.getLogger("superserve.router").isEnabledFor(logging.INFO) == said["log_info"]


@pytest.mark.parametrize(
    "asked",
    [
        {"log_warning": False},
        {"log_info": 1},
        {"log_verbose_level": -1},
        {"log_verbose_level": True},
        {"log_colour": "red"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_change_nothing(asked: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        logging_settings.change(asked)
    assert logging_settings.ROOT.level == logging.INFO


def test_the_log_stays_where_it_is() -> None:
    with pytest.raises(Unsupported):
        logging_settings.change({"log_file": "/tmp/log"})
