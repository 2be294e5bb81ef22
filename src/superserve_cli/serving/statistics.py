"""The statistics extension: counts and cumulative durations by version, which for a SuperNet is the subnet that answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from superserve_cli.core.nouns import NS_PER_MS

NOTHING: Final = {"count": 0, "ns": 0}


@dataclass(slots=True)
class Runs:
    """How often the three stages of a batch were gone through, and how long that took in all."""

    count: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0

    def add(self, times: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """So many more."""
        self.count += times
        self.input_ns += times * input_ns
        self.infer_ns += times * infer_ns
        self.output_ns += times * output_ns


@dataclass(slots=True)
class Counts:
    """What became of one version's requests; durations are sums over requests, of each batch's stages once per request."""

    inferences: int = 0
    answered: int = 0
    answered_ns: int = 0
    queue_ns: int = 0
    failed: int = 0
    failed_ns: int = 0
    stages: Runs = field(default_factory=Runs)
    by_size: dict[int, Runs] = field(default_factory=dict)
    last_ns: int = 0

    def ran(self, requests: int, rows: int, queue_ns: int, input_ns: int, infer_ns: int, output_ns: int, now_ns: int) -> None:
        """A batch has answered some requests, which had waited for `queue_ns` in all."""
        self.inferences += rows
        self.answered += requests
        self.queue_ns += queue_ns
        self.answered_ns += queue_ns + requests * (input_ns + infer_ns + output_ns)
        self.last_ns = now_ns
        self.stages.add(requests, input_ns, infer_ns, output_ns)
        if (runs := self.by_size.get(rows)) is None:
            runs = self.by_size[rows] = Runs()
        runs.add(1, input_ns, infer_ns, output_ns)

    def entry(self, name: str, version: str, epoch_ns: int) -> dict[str, Any]:
        """The entry of `model_stats`; `epoch_ns` is what is to be added to `last_ns` for the time since 1970."""
        return {
            "name": name,
            "version": version,
            "last_inference": (epoch_ns + self.last_ns) // NS_PER_MS if self.answered else 0,
            "inference_count": self.inferences,
            "execution_count": sum(runs.count for runs in self.by_size.values()),
            "inference_stats": {
                "success": _said(self.answered, self.answered_ns),
                "fail": _said(self.failed, self.failed_ns),
                "queue": _said(self.answered, self.queue_ns),
                **_stages(self.stages),
                "cache_hit": dict(NOTHING),
                "cache_miss": dict(NOTHING),
            },
            "batch_stats": [{"batch_size": size, **_stages(runs)} for size, runs in sorted(self.by_size.items())],
        }


class Statistics:
    """The counts of a model by version; "" has the failures of requests that named none, which no version is to blame for.

    `epoch_ns` is what is to be added to the times that it is told for the time since 1970.
    """

    def __init__(self, epoch_ns: int) -> None:
        self._epoch_ns = epoch_ns
        self._versions: dict[str, Counts] = {}

    def of(self, version: str) -> Counts:
        """Those of a version."""
        if (counts := self._versions.get(version)) is None:
            counts = self._versions[version] = Counts()
        return counts

    def failed(self, version: str, ns: int) -> None:
        """A request has got no answer, after so long."""
        counts = self.of(version)
        counts.failed += 1
        counts.failed_ns += ns

    def entries(self, name: str, versions: Sequence[str], only: str) -> list[dict[str, Any]]:
        """The entries of `only` a version, or of all ("") in their order."""
        shown = [only] if only else [*versions, *([""] if "" in self._versions else [])]
        return [self._versions.get(version, Counts()).entry(name, version, self._epoch_ns) for version in shown]


def _stages(runs: Runs) -> dict[str, dict[str, int]]:
    return {
        "compute_input": _said(runs.count, runs.input_ns),
        "compute_infer": _said(runs.count, runs.infer_ns),
        "compute_output": _said(runs.count, runs.output_ns),
    }


def _said(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
