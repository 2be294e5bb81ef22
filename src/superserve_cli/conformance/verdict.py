"""What can come of a case."""

from typing import Final, NamedTuple

PASS: Final = "pass"
FAIL: Final = "fail"
NOT_OFFERED: Final = "not offered"


class Unmet(Exception):
    """What a server should have done, and what it did."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}, came {came}")
        self.expected = expected
        self.came = came


class NotOffered(Exception):
    """The server, or the model, has no such thing to check."""


class Verdict(NamedTuple):
    """What came of a case. `note` says why something is not offered."""

    result: str
    expected: str = ""
    came: str = ""
    note: str = ""
