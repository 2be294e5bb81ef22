"""One function per figure. Each is a fold over outcomes that reads no clock; docs/metrics.md has a line for each.

A figure that cannot be known (no request, no label, no accuracy in the profile) is None; so is a percentile at which requests
got no answer, because their latency is infinite.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.core.outcomes import LATE, MET, REJECTED, Outcomes

BLOCKS: Final = 20
LEVEL: Final = 0.95
INFINITE_NS: Final = np.iinfo(np.int64).max
Interval = tuple[float, float]


def met(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Which requests were answered by their deadline."""
    return np.equal(outcomes.status, MET)


def answered(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Which requests were answered at all, in time or late."""
    return np.less_equal(outcomes.status, LATE)


def attainment(outcomes: Outcomes) -> float | None:
    """Share of all requests that were met; drops, rejections and failures are in the denominator."""
    return _share(int(np.count_nonzero(met(outcomes))), len(outcomes))


def attainment_interval(outcomes: Outcomes) -> Interval | None:
    """The 95 % interval of attainment from batch means."""
    return _around(attainment(outcomes), _block_means(met(outcomes)))


def accuracy(outcomes: Outcomes) -> float | None:
    """Mean profiled accuracy over the met requests."""
    in_time = met(outcomes)
    count = int(np.count_nonzero(in_time))
    return _known(_sum_of_accuracy(outcomes, in_time) / count) if count else None


def accuracy_interval(outcomes: Outcomes) -> Interval | None:
    """The 95 % interval of accuracy from batch means; None when a block met nothing."""
    in_time = met(outcomes)
    sums, counts = _block_means(np.where(in_time, outcomes.accuracy, 0.0)), _block_means(in_time)
    if sums is None or counts is None or not counts.all():
        return None
    return _around(accuracy(outcomes), sums / counts)


def utility(outcomes: Outcomes) -> float | None:
    """Sum of the accuracy of the met requests over the number of all: what policies are ranked by."""
    return _known(_sum_of_accuracy(outcomes, met(outcomes)) / len(outcomes)) if len(outcomes) else None


def gap(outcomes: Outcomes, utility_bound: float | None) -> float | None:
    """What the utility lacks to a bound that no scheduler can pass, to twelve digits: two sums of the same numbers may differ by less."""
    reached = utility(outcomes)
    return None if reached is None or utility_bound is None else round(utility_bound - reached, 12) + 0.0


def utility_interval(outcomes: Outcomes) -> Interval | None:
    """The 95 % interval of utility from batch means."""
    return _around(utility(outcomes), _block_means(np.where(met(outcomes), outcomes.accuracy, 0.0)))


def latency_ns(outcomes: Outcomes) -> NDArray[np.int64]:
    """Intended arrival to finish of every request, INFINITE_NS where no answer came."""
    latency = outcomes.finish_ns - outcomes.arrival_ns
    latency[~answered(outcomes)] = INFINITE_NS
    return latency


def latency_ms(outcomes: Outcomes, percents: Sequence[int]) -> list[float | None]:
    """Percentiles of latency over all requests, by nearest rank; None where that request got no answer."""
    return [None if ns == INFINITE_NS else ns / NS_PER_MS for ns in percentiles(latency_ns(outcomes), percents)]


def queue_ms(outcomes: Outcomes) -> float | None:
    """Mean time from intended arrival to the start of the batch, over the answered requests that were seen to start."""
    started = answered(outcomes) & (outcomes.start_ns >= 0)
    return _mean_ms(outcomes.start_ns, outcomes.arrival_ns, started)


def service_ms(outcomes: Outcomes) -> float | None:
    """Mean time from the start of the batch to its finish, over the answered requests that were seen to start."""
    started = answered(outcomes) & (outcomes.start_ns >= 0)
    return _mean_ms(outcomes.finish_ns, outcomes.start_ns, started)


def duration_s(outcomes: Outcomes) -> float | None:
    """From the first intended arrival to the end of the last request."""
    return (int(outcomes.ended_ns.max()) - int(outcomes.arrival_ns.min())) / NS_PER_S if len(outcomes) else None


def throughput_qps(outcomes: Outcomes) -> float | None:
    """Answered requests per second of the run."""
    return _per_second(int(np.count_nonzero(answered(outcomes))), duration_s(outcomes))


def goodput_qps(outcomes: Outcomes) -> float | None:
    """Met requests per second of the run."""
    return _per_second(int(np.count_nonzero(met(outcomes))), duration_s(outcomes))


def batch_sizes(outcomes: Outcomes) -> dict[str, float]:
    """Of the requests that ran, the share in batches of each size, smallest first."""
    counts = np.bincount(outcomes.batch_size[outcomes.batch_size > 0])
    return {str(size): int(counts[size]) / int(counts.sum()) for size in np.flatnonzero(counts)}


def subnets(outcomes: Outcomes) -> dict[str, float]:
    """Of the requests that ran, the share on each subnet, least accurate first."""
    ran = outcomes.subnet >= 0
    counts = np.bincount(outcomes.subnet[ran], minlength=len(outcomes.subnets))
    known = np.full(len(outcomes.subnets), -1.0)
    known[outcomes.subnet[ran]] = np.nan_to_num(outcomes.accuracy[ran], nan=-1.0)
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda i: (known[i], outcomes.subnets[i]))
    return {outcomes.subnets[i]: int(counts[i]) / int(counts.sum()) for i in order}


def labelled(outcomes: Outcomes) -> NDArray[np.bool_] | None:
    """Which requests were answered and carried a label; None when the run has no labels."""
    correct = outcomes.extra.get("correct")
    if correct is None:
        return None
    has_label: NDArray[np.bool_] = correct.is_valid().to_numpy(zero_copy_only=False)
    return answered(outcomes) & has_label


def measured_accuracy(outcomes: Outcomes) -> tuple[float, float] | None:
    """Share of correct answers among the answered labelled requests, and its standard error."""
    which = labelled(outcomes)
    if which is None or not (count := int(np.count_nonzero(which))):
        return None
    correct = outcomes.extra["correct"].fill_null(False).to_numpy(zero_copy_only=False)
    share = int(np.count_nonzero(correct[which])) / count
    return share, float(np.sqrt(share * (1 - share) / count))


def expected_accuracy(outcomes: Outcomes) -> float | None:
    """Mean profiled accuracy over the same requests that measured_accuracy counts."""
    which = labelled(outcomes)
    return _known(float(outcomes.accuracy[which].mean())) if which is not None and which.any() else None


def lag_ms(outcomes: Outcomes, percents: Sequence[int]) -> list[float | None]:
    """Percentiles of how late the load generator sent each request."""
    return [ns / NS_PER_MS for ns in percentiles(outcomes.lag_ns.copy(), percents)] if len(outcomes) else [None for _ in percents]


def tenants(outcomes: Outcomes) -> dict[str, dict[str, Any]]:
    """Requests, rejections, attainment, accuracy and utility of each tenant, by name; those without a tenant count under the empty name."""
    if "tenant" not in outcomes.extra:
        return {}
    encoded = outcomes.extra["tenant"].cast("string").fill_null("").dictionary_encode()
    names, code, in_time = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), met(outcomes)
    requests = np.bincount(code, minlength=len(names)).tolist()
    mets = np.bincount(code[in_time], minlength=len(names)).tolist()
    rejected = np.bincount(code[np.equal(outcomes.status, REJECTED)], minlength=len(names)).tolist()
    sums = np.bincount(code[in_time], weights=outcomes.accuracy[in_time], minlength=len(names)).tolist()
    return {
        names[i]: {
            "requests": requests[i],
            "rejected": rejected[i],
            "attainment": mets[i] / requests[i],
            "accuracy": _known(sums[i] / mets[i]) if mets[i] else None,
            "utility": _known(sums[i] / requests[i]),
        }
        for i in sorted(range(len(names)), key=lambda i: str(names[i]))
    }


def percentiles(values: NDArray[np.int64], percents: Sequence[int]) -> list[int]:
    """Nearest-rank percentiles: the smallest value that at least that share does not exceed. Reorders `values`."""
    if not len(values):
        return [int(INFINITE_NS) for _ in percents]
    ranks = [max(0, -(-percent * len(values) // 100) - 1) for percent in percents]
    values.partition(ranks)
    return [int(values[rank]) for rank in ranks]


def _block_means(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Means of BLOCKS consecutive blocks of equal size (within one), or None when there are fewer values than blocks."""
    if len(values) < BLOCKS:
        return None
    edges = np.arange(BLOCKS + 1) * len(values) // BLOCKS
    return np.asarray(np.add.reduceat(values, edges[:-1], dtype=np.float64) / np.diff(edges))


def _around(centre: float | None, blocks: NDArray[np.float64] | None) -> Interval | None:
    """Batch-means interval: consecutive requests share their fate, blocks hardly do (Law, Simulation Modeling and Analysis, ch. 9)."""
    if centre is None or blocks is None:
        return None
    half = float(stdtrit(len(blocks) - 1, (1 + LEVEL) / 2) * blocks.std(ddof=1) / np.sqrt(len(blocks)))
    return max(0.0, centre - half), min(1.0, centre + half)


def _sum_of_accuracy(outcomes: Outcomes, which: NDArray[np.bool_]) -> float:
    return float(outcomes.accuracy[which].sum())


def _mean_ms(end_ns: NDArray[np.int64], begin_ns: NDArray[np.int64], which: NDArray[np.bool_]) -> float | None:
    if not which.any():
        return None
    return float((end_ns[which] - begin_ns[which]).mean()) / NS_PER_MS


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _per_second(count: int, seconds: float | None) -> float | None:
    return count / seconds if seconds else None


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
