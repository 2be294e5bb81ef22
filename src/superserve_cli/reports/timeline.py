from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.reports.metrics import met

MOST_BINS: Final = 240
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """A run in bins of equal length by intended arrival, NaN where a bin has nothing to tell.

    `edges_s` (bins + 1,) counts from the first arrival; the others are (bins,): arrivals per second, share of the bin's requests
    met, mean profiled accuracy of those met, and the batch that a mean request of the bin rode in.
    """

    edges_s: Floats
    rate_qps: Floats
    attainment: Floats
    accuracy: Floats
    batch_size: Floats

    @property
    def bin_s(self) -> float:
        """The length of a bin."""
        return float(self.edges_s[1] - self.edges_s[0])


def timeline(outcomes: Outcomes, most_bins: int = MOST_BINS) -> Timeline:
    """The run over time, in at most `most_bins` bins of a round length."""
    begin_ns = int(outcomes.arrival_ns.min())
    bin_ns = _round_length(int(outcomes.arrival_ns.max()) - begin_ns, most_bins)
    bins = (outcomes.arrival_ns - begin_ns) // bin_ns
    many = int(bins.max()) + 1
    in_time, ran = met(outcomes), outcomes.batch_size > 0
    requests = np.bincount(bins, minlength=many)
    mets = np.bincount(bins[in_time], minlength=many)
    accuracy = np.bincount(bins[in_time], weights=outcomes.accuracy[in_time], minlength=many)
    rode = np.bincount(bins[ran], weights=outcomes.batch_size[ran], minlength=many)
    return Timeline(
        edges_s=np.arange(many + 1, dtype=np.float64) * bin_ns / NS_PER_S,
        rate_qps=requests.astype(np.float64) * NS_PER_S / bin_ns,
        attainment=_ratio(mets, requests),
        accuracy=_ratio(accuracy, mets),
        batch_size=_ratio(rode, np.bincount(bins[ran], minlength=many)),
    )


def _round_length(span_ns: int, most_bins: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 ... ns that covers the span in at most that many bins."""
    return next(length for length in _one_two_five() if span_ns // length < most_bins)


def _one_two_five() -> Iterator[int]:
    return (digit * 10**power for power in count() for digit in (1, 2, 5))


def _ratio(sums: NDArray[np.float64] | NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    shares: Floats = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return shares
