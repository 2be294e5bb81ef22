"""What can go wrong that a person can put right.

SuperserveError            exit code 2
├── BadFile                a file is not what it claims to be, or cannot be written
├── BadOption              an option's value, or two options together, make no sense
├── Unknown                a name that is not among those that exist
├── Unreachable            a server that does not answer, or a port that is taken
├── NotComparable          two runs that measured different things
├── Regression             exit code 3: a comparison found what `--fail-on` forbids
├── NotConformant          exit code 3: a server does not keep its protocol
└── Inconclusive           exit code 4: a run proves nothing, neither good nor bad

Anything else is our own bug: it keeps its traceback and exits with 1.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

LISTED: Final = 12
"""How many names an error lists before it says how many more there are."""


class SuperserveError(Exception):
    """Something the user can put right. Anything else is our bug and keeps its traceback."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadFile(SuperserveError):
    """A file is not what it claims to be, or cannot be written."""


class BadOption(SuperserveError):
    """An option's value, or a combination of options, makes no sense."""


class Unknown(SuperserveError):
    """A name that is not among those that exist; the hint lists them, the likeliest first."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = list(dict.fromkeys(known))  # an index may list each version of a model
        near = get_close_matches(name, names, n=1)
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        known_names = f"choose one of: {', '.join(names[:LISTED])}{more}"
        super().__init__(f"no {what} {name!r}", hint=f"did you mean {near[0]}?" if near else known_names)


class Unreachable(SuperserveError):
    """A server that does not answer, or a port that is taken."""


class NotComparable(SuperserveError):
    """Two runs that measured different things."""


class Regression(SuperserveError):
    """A comparison found what the user forbade."""

    exit_code = 3


class NotConformant(SuperserveError):
    """A server that does not keep its protocol."""

    exit_code = 3


class Inconclusive(SuperserveError):
    """A run that was made and written, and that proves nothing: not what was asked, but how it was measured is at fault."""

    exit_code = 4
