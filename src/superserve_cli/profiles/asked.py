"""What the options of `superserve profile` ask for."""

from collections.abc import Callable, Sequence
from typing import Final

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption, SuperserveError

LARGEST_BATCH: Final = 4096
FEWEST_ROUNDS: Final = 2


def batch_sizes(text: str) -> tuple[int, ...]:
    """The batch sizes of a comma-separated list, ascending; raises BadOption."""
    words = [word.strip() for word in text.split(",")]
    sizes = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(sizes) < len(words) or len(set(sizes)) < len(sizes) or not all(1 <= size <= LARGEST_BATCH for size in sizes):
        raise BadOption(
            f"--batch-sizes is {text!r}", hint=f"write different numbers from 1 to {LARGEST_BATCH} with commas between, as in 1,2,4,8,16"
        )
    return tuple(sorted(sizes))


def rounds(count: int) -> int:
    """How many rounds; raises BadOption for fewer than the two that can be compared."""
    if count < FEWEST_ROUNDS:
        raise BadOption(
            f"--rounds is {count}; it must be at least {FEWEST_ROUNDS}", hint="50 take about a minute, 100 give every cell a p99 of its own"
        )
    return count


def spread(ordered: Sequence[Subnet], count: int) -> list[Subnet]:
    """`count` of some ordered subnets, evenly spaced, the first and the last among them."""
    if count == 1:
        return [ordered[(len(ordered) - 1) // 2]]
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def subnets(which: str, every: Sequence[Subnet], pareto: Sequence[Subnet], check: Callable[[Subnet], None]) -> list[Subnet]:
    """The subnets that `all`, `pareto`, a number (so many, spread over the front, or over all) or ids with commas ask for.

    `check` raises what is wrong with a subnet that cannot run. Raises BadOption.
    """
    ordered = pareto or every
    choices = f"choose all ({len(every)}), pareto ({len(pareto)}), a number from 1 to {len(ordered)}, or IDs with commas between"
    if which in ("", "all", "pareto") or which.isdigit():
        asked = {"all": every, "pareto": pareto}.get(which) or _so_many(ordered, which)
        if not asked:
            raise BadOption(
                f"--subnets is {which!r}", hint=choices if ordered else "no subnet can run yet: `superserve calibrate` prepares some"
            )
    else:
        asked = [word.strip() for word in which.split(",")]
    for subnet in asked:
        try:
            check(subnet)
        except SuperserveError as error:
            raise BadOption(f"--subnets: {error}", hint=f"{error.hint}; or {choices}") from None
    return list(dict.fromkeys(asked))


def _so_many(ordered: Sequence[Subnet], which: str) -> list[Subnet]:
    return spread(ordered, int(which)) if which.isascii() and which.isdigit() and 1 <= int(which) <= len(ordered) else []
