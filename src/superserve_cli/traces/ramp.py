from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

TINY: Final = 1e-300


@dataclass(frozen=True)
class Ramp:
    """A rate that goes from `start` to `end` requests/s by `acceleration` requests/s each second (> 0), and stays there."""

    start: float
    end: float
    acceleration: float

    @property
    def seconds(self) -> float:
        """How long the rate takes to get there."""
        return abs(self.end - self.start) / self.acceleration

    def times(self, factor: float) -> "Ramp":
        """The same course at other rates, in the same time."""
        return Ramp(self.start * factor, self.end * factor, self.acceleration * factor)

    def expected(self, until_s: float) -> float:
        """The expected number of arrivals until then: the integral of the rate."""
        moving = min(until_s, self.seconds)
        return self.start * moving + self._change * moving**2 / 2 + self.end * (until_s - moving)

    def when(self, count: NDArray[np.float64]) -> NDArray[np.float64]:
        """The seconds until which that many arrivals are expected: the inverse of `expected`."""
        whole = self.expected(self.seconds)
        moving = np.minimum(count, whole)
        # the root of the quadratic that loses no digits where the rate hardly changes
        root = np.sqrt(np.maximum(self.start**2 + 2 * self._change * moving, 0.0))
        return np.asarray(2 * moving / np.maximum(self.start + root, TINY) + np.maximum(count - whole, 0.0) / max(self.end, TINY))

    @property
    def _change(self) -> float:
        return self.acceleration if self.end >= self.start else -self.acceleration


PAPER: Final = Ramp(start=2500.0, end=7400.0, acceleration=250.0)
"""The time-varying trace of SuperServe (NSDI 2025), Fig. 13."""
