"""How much memory a process holds, as the kernel counts it."""

import os
from collections.abc import Callable
from pathlib import Path

PAGES = Path("/proc/self/statm")


def resident_bytes() -> int:
    """The resident set of this process."""
    return int(PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth_bytes(work: Callable[[], object]) -> int:
    """By how much the resident set grows while something is done, and what it made is held."""
    before = resident_bytes()
    made = work()
    grown = resident_bytes() - before
    del made
    return grown
