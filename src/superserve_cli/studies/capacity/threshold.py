"""Where something stops to hold."""

from collections.abc import Callable


def largest(holds: Callable[[int], bool], lowest: int, highest: int, start: int, stride: int = 1) -> int | None:
    """The largest number from `lowest` to `highest` up to which something holds; None where it fails at the lowest.

    From `start` it goes on in strides that double until it has a number that holds and a greater one that fails, then halves what
    lies between. What is returned has been tried, and so has the next number, which fails (or is beyond `highest`), whatever
    `holds` does elsewhere: if it is not monotone, there may be other such places.
    """
    held, failed = lowest - 1, highest + 1
    at = min(max(start, lowest), highest)
    while failed - held > 1:
        if holds(at):
            held = at
        else:
            failed = at
        if held < lowest:
            at = max(failed - stride, lowest)
        elif failed > highest:
            at = min(held + stride, highest)
        else:
            at = (held + failed) // 2
        stride *= 2
    return held if held >= lowest else None
