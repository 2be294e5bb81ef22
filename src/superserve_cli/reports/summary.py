from typing import Any, Final

import numpy as np

from superserve_cli.core.outcomes import STATUSES
from superserve_cli.reports import metrics, rejections
from superserve_cli.reports.run import Run

SCHEMA: Final = "summary/1"
PERCENTS: Final = (50, 95, 99)


def summarize(run: Run) -> dict[str, Any]:
    """Every figure of a run, as it stands in `summary.json`: shares in 0..1, times in ms, None where a figure is unknown or infinite."""
    outcomes = run.outcomes
    counts = np.bincount(outcomes.status, minlength=len(STATUSES)).tolist()
    p50, p95, p99 = metrics.latency_ms(outcomes, PERCENTS)
    return {
        "schema": SCHEMA,
        "policy": run.policy,
        "valid": bool(run.manifest.get("valid", True)),
        "requests": len(outcomes),
        **dict(zip(STATUSES, counts, strict=True)),
        "attainment": metrics.attainment(outcomes),
        **_bounds("attainment", metrics.attainment_interval(outcomes)),
        "accuracy": metrics.accuracy(outcomes),
        **_bounds("accuracy", metrics.accuracy_interval(outcomes)),
        "utility": metrics.utility(outcomes),
        **_bounds("utility", metrics.utility_interval(outcomes)),
        "utility_bound": run.manifest.get("utility_bound"),
        "gap": metrics.gap(outcomes, run.manifest.get("utility_bound")),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "queue_ms": metrics.queue_ms(outcomes),
        "service_ms": metrics.service_ms(outcomes),
        "duration_s": metrics.duration_s(outcomes),
        "throughput_qps": metrics.throughput_qps(outcomes),
        "goodput_qps": metrics.goodput_qps(outcomes),
        "batch_sizes": metrics.batch_sizes(outcomes),
        "subnets": metrics.subnets(outcomes),
        **_measured(run),
        **_lag(run),
        **({"tenants": tenants} if (tenants := metrics.tenants(outcomes)) else {}),
        **rejections.as_json(run),
    }


def _bounds(name: str, interval: metrics.Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _measured(run: Run) -> dict[str, float | None]:
    measured = metrics.measured_accuracy(run.outcomes)
    if measured is None:
        return {}
    share, error = measured
    return {
        "measured_accuracy": share,
        "measured_accuracy_stderr": error,
        "expected_accuracy": metrics.expected_accuracy(run.outcomes),
    }


def _lag(run: Run) -> dict[str, float | None]:
    """Only a live run has a load generator that can be late."""
    if run.manifest.get("kind") != "live":
        return {}
    p50, p99 = metrics.lag_ms(run.outcomes, (50, 99))
    return {"lag_p50_ms": p50, "lag_p99_ms": p99}
