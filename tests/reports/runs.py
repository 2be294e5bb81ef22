"""Runs made by hand, in the words of the domain, and the golden files that reports are held against."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from superserve_cli.core.files import write_json
from superserve_cli.core.nouns import ms_to_ns
from superserve_cli.core.outcomes import DROPPED, LATE, MET, NEVER, Outcomes, write
from superserve_cli.reports import Run

ACCURACY = {"small": 0.7, "large": 0.8, "unmeasured": np.nan}
GOLDEN = Path(__file__).parent.parent / "golden"


@dataclass(frozen=True)
class Req:
    """One request: answered `latency_ms` after its arrival, `wait_ms` of which it queued, or never."""

    at_ms: float
    latency_ms: float | None = None
    slo_ms: float = 50
    subnet: str = "small"
    batch: int = 1
    wait_ms: float = 0
    tenant: str | None = None
    min_accuracy: float | None = None
    correct: bool | None = None
    lag_ms: float = 0
    status: int | None = None


def fate(r: Req) -> int:
    if r.status is not None:
        return r.status
    if r.latency_ms is None:
        return DROPPED
    return MET if r.latency_ms <= r.slo_ms else LATE


def outcomes(*requests: Req) -> Outcomes:
    def column(kind: Any, of: Callable[[Req], Any]) -> Any:
        return np.array([of(r) for r in requests], dtype=kind)

    def if_answered(of: Callable[[Req], Any], never: Any) -> Callable[[Req], Any]:
        return lambda r: never if r.latency_ms is None else of(r)

    names = tuple(dict.fromkeys(r.subnet for r in requests if r.latency_ms is not None))
    extra = {}
    if any(r.tenant is not None for r in requests):
        extra["tenant"] = pa.array([r.tenant for r in requests])
    if any(r.min_accuracy is not None for r in requests):
        extra["min_accuracy"] = pa.array([r.min_accuracy for r in requests], pa.float64())
    if any(r.correct is not None for r in requests):
        extra["correct"] = pa.array([r.correct for r in requests], pa.bool_())
    return Outcomes(
        id=np.arange(len(requests)),
        arrival_ns=column(np.int64, lambda r: ms_to_ns(r.at_ms)),
        deadline_ns=column(np.int64, lambda r: ms_to_ns(r.at_ms + r.slo_ms)),
        start_ns=column(np.int64, if_answered(lambda r: ms_to_ns(r.at_ms + r.wait_ms), NEVER)),
        finish_ns=column(np.int64, if_answered(lambda r: ms_to_ns(r.at_ms + (r.latency_ms or 0)), NEVER)),
        ended_ns=column(np.int64, lambda r: ms_to_ns(r.at_ms + (r.slo_ms if r.latency_ms is None else r.latency_ms))),
        subnets=names,
        subnet=column(np.int32, if_answered(lambda r: names.index(r.subnet), -1)),
        accuracy=column(np.float64, if_answered(lambda r: ACCURACY[r.subnet], np.nan)),
        batch_size=column(np.int32, if_answered(lambda r: r.batch, -1)),
        worker=column(np.int32, if_answered(lambda r: 0, -1)),
        status=column(np.int8, fate),
        lag_ns=column(np.int64, lambda r: ms_to_ns(r.lag_ms)),
        extra=extra,
    )


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "schema": "run/1",
        "created": "2026-01-02T03:04:05Z",
        "command": ["superserve", "replay", "--trace", "azure"],
        "kind": "simulated",
        "policy": "slackfit",
        "late": "shed",
        "service": "fixed",
        "workers": 8,
        "slo_ns": 50_000_000,
        "seed": 0,
        "load": 0.9,
        "utility_bound": 0.75,
        "offered_qps": 100.0,
        "duration_s": 1.0,
        "trace": {"source": "azure", "hash": "a" * 64, "requests": 100, "synthetic": True},
        "profile": {"name": "cpu", "hash": "b" * 64, "supernet": "glyphs", "device": "cpu", "best_accuracy": 0.8},
        "versions": {"superserve": "0.1.0"},
        "hardware": {"cpu": "Example", "cores": 2},
        "target": None,
        "valid": True,
        "problems": [],
        **changes,
    }


def a_run(*requests: Req, **changes: Any) -> Run:
    return Run(outcomes(*requests), manifest(**changes))


def steady(many: int = 100, slow_every: int = 10, subnet: str = "small", **changes: Any) -> Run:
    """A request every 10 ms; every so many of them one is late, and every so many late ones one is dropped."""
    late = [i % slow_every == slow_every - 1 for i in range(many)]
    requests = (
        Req(10 * i, None if late[i] and i % 3 == 0 else 60 if late[i] else 20 + i % 7, subnet=subnet, batch=1 + i % 2, wait_ms=5)
        for i in range(many)
    )
    return a_run(*requests, **changes)


def matches_golden(name: str, text: str) -> bool:
    """Whether a report reads as it did; SUPERSERVE_GOLDEN=write pytest tests/reports writes what it reads like now."""
    path = GOLDEN / name
    if os.environ.get("SUPERSERVE_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text


def keep(folder: Path, run: Run) -> None:
    """What a run folder cannot do without; drawing its page takes a while."""
    write_json(folder / "manifest.json", run.manifest)
    write(folder / "outcomes.parquet", run.outcomes, run.manifest)
