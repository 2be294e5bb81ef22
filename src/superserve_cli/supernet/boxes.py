"""Which indices of a parameter are used: boxes (a range per dimension) and unions of boxes.

A parameter that is used more than once, such as the rows of query, key and value in one matrix, is used in several boxes. Disjoint
ones say exactly which numbers a subnet touches, so that they can be counted, copied or written to without doing one twice.
"""

from collections.abc import Iterable, Sequence
from math import lcm, prod

Box = tuple[range, ...]
"""Indices of a tensor: those of each dimension, ascending."""


def size(boxes: Iterable[Box]) -> int:
    """How many indices disjoint boxes hold."""
    return sum(prod(map(len, box)) for box in boxes)


def union(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Disjoint boxes that together hold the same indices, by their first index; a box within another one vanishes."""
    different = set(boxes)
    if len(different) == 1:
        return tuple(different)
    found: list[Box] = []
    for box in sorted(different, key=lambda box: (-size([box]), _corner(box))):
        rest = [box]
        for other in found:
            rest = [part for piece in rest for part in _minus(piece, other)]
        found += rest
    return tuple(sorted(found, key=_corner))


def grid(boxes: Sequence[Box]) -> tuple[tuple[range, ...], ...]:
    """The indices of each dimension that occur in boxes, as disjoint ranges: the smallest tensor that holds them all."""
    return tuple(tuple(r for (r,) in union((one,) for one in ranges)) for ranges in zip(*boxes, strict=True))


def _corner(box: Box) -> tuple[tuple[int, int, int], ...]:
    return tuple((r.start, r.stop, r.step) for r in box)


def _minus(box: Box, other: Box) -> list[Box]:
    """Disjoint boxes of what lies in one box and not in another."""
    shared = tuple(_inside(mine, its) for mine, its in zip(box, other, strict=True))
    if not all(shared):
        return [box]
    parts: list[Box] = []
    for i, (mine, both) in enumerate(zip(box, shared, strict=True)):
        parts += [(*shared[:i], outside, *box[i + 1 :]) for outside in _outside(mine, both)]
    return parts


def _inside(one: range, other: range) -> range:
    """What two ranges have in common."""
    step = lcm(one.step, other.step)
    latest, earliest_end = max(one.start, other.start), min(one.stop, other.stop)
    first = next((i for i in range(latest, min(latest + step, earliest_end)) if i in one and i in other), earliest_end)
    return range(first, max(first, earliest_end), step)


def _outside(whole: range, part: range) -> list[range]:
    """What a range holds besides a part of it, whose step is a multiple of its own."""
    before, after = range(whole.start, part.start, whole.step), range(part[-1] + whole.step, whole.stop, whole.step)
    between = [range(part.start + offset, part[-1], part.step) for offset in range(whole.step, part.step, whole.step)]
    return [found for found in (before, *between, after) if found]
