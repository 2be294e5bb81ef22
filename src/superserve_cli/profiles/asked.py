"""What the options of `superserve profile` ask for."""

from collections.abc import Sequence
from typing import Final

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption

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


def subnets(which: str, every: Sequence[Subnet], pareto: Sequence[Subnet]) -> list[Subnet]:
    """The subnets that `all`, `pareto` or a number (so many, spread over the front) asks for; raises BadOption."""
    if which == "all":
        return list(every)
    if which == "pareto" and pareto:
        return list(pareto)
    if not (which.isascii() and which.isdigit()) or not 1 <= int(which) <= len(pareto):
        raise BadOption(
            f"--subnets is {which!r}", hint=f"choose all ({len(every)}), pareto ({len(pareto)}), or a number from 1 to {len(pareto)}"
        )
    return spread(pareto, int(which))
