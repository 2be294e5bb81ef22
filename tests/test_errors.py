import re

import pytest

from superserve_cli import errors
from superserve_cli.errors import (
    BadFile,
    BadOption,
    Inconclusive,
    NotComparable,
    NotConformant,
    Regression,
    SuperserveError,
    Unknown,
    Unreachable,
)

TREE: list[type[SuperserveError]] = [BadFile, BadOption, Unknown, Unreachable, NotComparable, Regression, NotConformant, Inconclusive]


def test_the_documented_tree_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^[├└]── (\w+)", errors.__doc__, re.MULTILINE)
    assert drawn == [error.__name__ for error in TREE]
    assert set(SuperserveError.__subclasses__()) >= set(TREE)


def test_what_the_user_did_wrong_exits_with_two_what_did_not_hold_with_three_and_what_proves_nothing_with_four() -> None:
    assert {error.exit_code for error in TREE if error not in (Regression, NotConformant, Inconclusive)} == {2}
    assert {Regression("worse").exit_code, NotConformant("not kept").exit_code} == {3}
    assert Inconclusive("too late").exit_code == 4


@pytest.mark.parametrize(
    ("name", "hint"),
    [("slackfitt", "did you mean slackfit?"), ("zebra", "choose one of: slackfit, infaas"), ("", "choose one of: slackfit, infaas")],
)
def test_an_unknown_name_is_answered_with_the_likeliest_or_with_all(name: str, hint: str) -> None:
    error = Unknown("policy", name, iter(["slackfit", "infaas", "slackfit"]))
    assert str(error) == f"no policy {name!r}"
    assert error.hint == hint
