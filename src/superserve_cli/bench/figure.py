import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from superserve_cli.core import provenance

NEARLY_ONE: Final = 0.99


@dataclass(frozen=True)
class Figure:
    """One measured number under the key that scripts read it by; `value` None where it could not be measured, and `note` says why.

    `target` is the bound it is held to, `at_least` on which side of it is good.
    """

    key: str
    what: str
    value: float | None
    unit: str
    target: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no target or no value."""
        if self.target is None or self.value is None:
            return ""
        return "met" if (self.value >= self.target if self.at_least else self.value <= self.target) else "missed"

    def row(self) -> tuple[str, str, str, str]:
        """What, value, target and verdict, as text."""
        value = f"{number(self.value)} {self.unit}" if self.value is not None else f"absent ({self.note})"
        bound = "" if self.target is None else f"{'≥' if self.at_least else '≤'} {number(self.target)}"
        return self.what, value, bound, self.verdict


def number(value: float) -> str:
    """A number to three digits, with thousands separated; a share near one keeps its nines."""
    if NEARLY_ONE < value < 1:
        return f"{value:.5f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Where the figures were measured."""
    return {"processor": provenance.processor(), "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def median_s(work: Callable[[], object], repeats: int) -> float:
    """The median wall-clock time of some repetitions, in seconds."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return median(times)
