"""Which subnets of a SuperNet an option asks for."""

from pathlib import Path
from typing import Final

import numpy as np

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.profiles.asked import spread
from superserve_cli.supernet.supernet import SuperNet

MOST: Final = 20_000
"""Of a space with more subnets, `all` is a slip."""
FORMS: Final = (
    "all, pareto, largest, a number (so many, spread over the front, or drawn by the seed where there is none), ids, or file:IDS.txt"
)


def subnets(supernet: SuperNet, which: str, seed: int = 0) -> list[Subnet]:
    """The subnets that `all`, `pareto`, `largest`, a number, `ID,ID` or `file:IDS.txt` names, each once.

    Raises BadOption for what the SuperNet does not have, BadFile for a file that cannot be read.
    """
    match which:
        case "all":
            return _all(supernet)
        case "largest":
            return [supernet.space.largest]
        case "pareto":
            return _front(supernet)
        case _ if which.isascii() and which.isdigit():
            return _so_many(supernet, int(which), seed)
        case _ if which.startswith("file:"):
            return _valid(supernet, _lines(Path(which.removeprefix("file:"))))
        case _:
            return _valid(supernet, which.split(","))


def front(supernet: SuperNet) -> tuple[Subnet, ...]:
    """The subnets that are meant to be served: the measured front, or the one that `superserve search` predicted."""
    return supernet.front or tuple(supernet.metadata.get("predicted", {}).get("subnets", ()))


def _all(supernet: SuperNet) -> list[Subnet]:
    if supernet.space.size > MOST:
        raise BadOption(f"{supernet.name} has {in_words(supernet.space.size)} subnets, too many for all", hint=f"choose {FORMS}")
    return list(supernet.space.enumerate())


def _front(supernet: SuperNet) -> list[Subnet]:
    if not (found := front(supernet)):
        raise BadOption(
            f"{supernet.name} has no Pareto front yet",
            hint="`superserve search` finds one; or choose largest, a number, ids, or file:IDS.txt",
        )
    return list(found)


def _so_many(supernet: SuperNet, count: int, seed: int) -> list[Subnet]:
    known, space = front(supernet), supernet.space
    limit = len(known) or min(space.size, MOST)
    if not 1 <= count <= limit:
        of = "subnets on the front" if known else "subnets at most"
        raise BadOption(f"{count} subnets of {supernet.name}", hint=f"choose a number from 1 to {limit} ({of})")
    return spread(known, count) if known else _drawn(supernet, count, seed)


def _drawn(supernet: SuperNet, count: int, seed: int) -> list[Subnet]:
    """The largest, the smallest, and others at random."""
    space, rng = supernet.space, np.random.default_rng(seed)
    if space.size <= 2 * count:
        return [space.largest, *(s for s in space.enumerate() if s != space.largest)][:count]
    found = dict.fromkeys((space.largest, space.smallest))
    while len(found) < count:
        found |= dict.fromkeys(space.sample(count, rng))
    return list(found)[:count]


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"cannot read {path}: {error}", hint="it holds one id per line; # begins a comment") from error
    return [line for text in lines if (line := text.partition("#")[0].strip())]


def _valid(supernet: SuperNet, ids: list[str]) -> list[Subnet]:
    if not ids:
        raise BadOption("no subnet is named", hint=f"choose {FORMS}")
    if len(ids) == 1 and not set(ids[0]) & set("-0123456789"):
        raise BadOption(f"--subnets is {ids[0]!r}", hint=f"choose {FORMS}; {supernet.space.example}")
    return list(dict.fromkeys(supernet.space.validate(each.strip()) for each in ids))


def in_words(count: int) -> str:
    """A number that may be astronomical: 32, 19,683, 2.5e12."""
    mantissa, _, exponent = f"{count:.1e}".partition("e")
    return f"{count:,}" if count < 10**6 else f"{mantissa}e{int(exponent)}"
