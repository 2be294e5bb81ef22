"""The JSON texts of binary requests, remembered: a client says the same one again and again, but for its id and the time it has left.

What a text says with another id or another time in the same places follows without reading it. A text is JSON, so what stands before
a number decides whether that is the value of `timeout` or happens to stand within a string, and its digits change nothing about what
follows. So when one text has been read, and read again with other numbers, and nothing else came out differently, then the like
holds for all numbers.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

MOST_REMEMBERED: Final = 1024
MOST_REMEMBERED_BYTES: Final = 2048
# an id without quotes, escapes and what is not ASCII is its own value; blanks behind the time belong to it, for some fill it up with them
ID: Final = re.compile(rb'"id": ?"([0-9A-Za-z_.:-]{1,64})"')
TIME: Final = re.compile(rb'"timeout": ?((?:0|[1-9][0-9]{0,17}) *)[,}]')
OTHER_ID: Final = "another-1"
NOWHERE: Final = -1
OTHER_TIME: Final = 271_828_182_845

T = TypeVar("T")


Key = tuple[int, int, bytes]
"""A text without its id and its time, and where the two have been taken out: what stood around them is then the same."""


def cut(text: bytes) -> tuple[Key, str | None, int | None]:
    """Take out the first id, then the first time: what remains, and the two."""
    id_at = time_at = NOWHERE
    id = timeout = None
    if (match := ID.search(text)) is not None:
        id_at, end = match.span(1)
        id = str(match[1], "ascii")
        text = text[:id_at] + text[end:]
    if (match := TIME.search(text)) is not None:
        time_at, end = match.span(1)
        timeout = int(match[1])
        text = text[:time_at] + text[end:]
    return (id_at, time_at, text), id, timeout


class Texts(Generic[T]):
    """What is known: of whole texts without id and time, and of what remains of the others."""

    def __init__(self) -> None:
        self.whole: dict[bytes, T] = {}
        self.cut: dict[Key, T] = {}

    def learn(self, text: bytes, key: Key, decode: Callable[[bytes], Mapping[str, Any]], known: T) -> None:
        """Remember what a text says, if it says the same with other numbers, save for these."""
        if len(text) > MOST_REMEMBERED_BYTES or not _says_the_same(text, decode):
            return
        if len(self.whole) + len(self.cut) >= MOST_REMEMBERED:
            self.whole.clear()
            self.cut.clear()
        if key[2] == text:
            self.whole[text] = known
        else:
            self.cut[key] = known


def _says_the_same(text: bytes, decode: Callable[[bytes], Mapping[str, Any]]) -> bool:
    said, other, varied = dict(decode(text)), text, False
    for pattern, key, value in ((ID, "id", OTHER_ID), (TIME, "timeout", OTHER_TIME)):
        if (match := pattern.search(other)) is not None:
            other = other[: match.start(1)] + str(value).encode() + other[match.end(1) :]
            varied = True
            if key == "id":
                said["id"] = value
            else:
                said["parameters"] = {**(said.get("parameters") or {}), key: value}
    return not varied or decode(other) == said
