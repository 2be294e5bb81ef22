from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0
LASTS_S: Final = 30.0
"""A worker that has served for so long was no failure."""
LOOPS_AFTER: Final = 3


class Backoff:
    """How long to wait before a worker is started again: twice as long after each life that did not last."""

    def __init__(self) -> None:
        self.failures = 0

    def lost(self, served_s: float) -> float:
        """A life has ended, after serving for so long; how long to wait."""
        self.failures = 1 if served_s >= LASTS_S else self.failures + 1
        return float(min(FIRST_S * 2.0 ** (self.failures - 1), LONGEST_S))

    @property
    def loops(self) -> bool:
        """Whether life after life did not last."""
        return self.failures >= LOOPS_AFTER
