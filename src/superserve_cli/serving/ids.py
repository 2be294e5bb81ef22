"""The ids that a router gives: the queue's order among equal deadlines, and the number of the arrival, in one integer."""

from typing import Final

LEVELS: Final = 2**20
"""Priorities that are told apart; all that are lower count as the lowest of these."""
SHIFT: Final = 40


def id_of(arrival: int, priority: int) -> int:
    """The id of an arrival: itself for the default priority 0, below zero for others, the smaller the higher the priority."""
    return arrival - ((LEVELS + 1 - min(priority, LEVELS)) << SHIFT) if priority else arrival


def arrival_of(id: int) -> int:
    """The number of the arrival that has this id."""
    return id & ((1 << SHIFT) - 1)
