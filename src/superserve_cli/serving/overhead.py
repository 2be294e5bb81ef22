"""What a batch takes beside inference, learnt from those that ran."""

from typing import Final

FIRST_NS: Final = 200_000
LEAST_NS: Final = 20_000
SHIFT: Final = 4
"""In average and deviation each new batch weighs 1/16."""
DEVIATIONS: Final = 2
FADING_SHIFT: Final = 6


class Overhead:
    """From the decision to the last answer, less inference: as long as nearly all batches take, in ns.

    That is the moving average and two moving mean deviations, as retransmission timers are set (Jacobson, "Congestion avoidance and
    control", 1988): a policy that fills the slack would be late with every batch that takes longer than the average.
    """

    def __init__(self, ns: int = FIRST_NS) -> None:
        self._average_ns, self._deviation_ns = ns, 0
        self.ns = ns

    def observe(self, ns: int) -> None:
        """A batch has taken so long. A long pause of the machine is no overhead: it counts as twice the known one at most."""
        error_ns = min(ns, 2 * self.ns) - self._average_ns
        self._average_ns += error_ns >> SHIFT
        self._deviation_ns += (abs(error_ns) - self._deviation_ns) >> SHIFT
        self.ns = max(LEAST_NS, self._average_ns + DEVIATIONS * self._deviation_ns)

    def fade(self) -> None:
        """Nothing could run, perhaps because of it: an overhead that lets nothing run would never be measured again."""
        self._average_ns -= self._average_ns >> FADING_SHIFT
        self._deviation_ns -= self._deviation_ns >> FADING_SHIFT
        self.ns = self._average_ns + DEVIATIONS * self._deviation_ns
