"""One figure from some samples of `/live`, each None where they tell nothing."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

Sample = dict[str, Any]
Samples = Sequence[Sample]
Figure = Callable[[Samples], float | None]
ENDINGS: Final = ("met", "late", "dropped", "rejected", "failed")
ANSWERED: Final = ("met", "late")


def arrivals(samples: Samples) -> float | None:
    """Requests per second."""
    return _ratio(_sum(samples, "arrived"), _sum(samples, "seconds"))


def attainment(samples: Samples) -> float | None:
    """Met requests / all that ended."""
    return _ratio(_sum(samples, "met"), _sum(samples, *ENDINGS))


def accuracy(samples: Samples) -> float | None:
    """Mean profiled accuracy of the answers."""
    known = [sample for sample in samples if sample["accuracy"] is not None]
    return _ratio(sum(sample["accuracy"] * _sum([sample], *ANSWERED) for sample in known), _sum(known, *ANSWERED))


def depth(samples: Samples) -> float | None:
    """The most requests that waited."""
    return most(samples, "depth")


def wait_p99_ms(samples: Samples) -> float | None:
    """The longest of the seconds' 99th percentiles of the time in the queue."""
    return most(samples, "wait_p99_ms")


def busy(samples: Samples) -> float | None:
    """The share of time in which workers had a batch."""
    return _ratio(*_busy(samples, None))


def busy_of(samples: Samples, worker: int) -> float | None:
    """The same of one worker."""
    return _ratio(*_busy(samples, str(worker)))


def most(samples: Samples, name: str) -> float | None:
    """The largest value that a field has."""
    return max((sample[name] for sample in samples if sample[name] is not None), default=None)


def rows(samples: Samples) -> Counter[str]:
    """How many rows each subnet was given."""
    counts: Counter[str] = Counter()
    for sample in samples:
        counts.update(sample["rows"])
    return counts


def _busy(samples: Samples, worker: str | None) -> tuple[float, float]:
    pairs = [(share * s["seconds"], s["seconds"]) for s in samples for name, share in s["busy"].items() if worker in (None, name)]
    return sum(busy for busy, _ in pairs), sum(seconds for _, seconds in pairs)


def _sum(samples: Samples, *names: str) -> float:
    return float(sum(sample[name] for sample in samples for name in names))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
