"""Two summaries set against each other: what differs, and whether that is worse than somebody allows."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from superserve_cli.errors import BadOption
from superserve_cli.reports import notation

HIGHER: Final = ("attainment", "accuracy", "utility", "measured_accuracy", "met", "throughput_qps", "goodput_qps")
LOWER: Final = (
    "gap",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "queue_ms",
    "service_ms",
    "late",
    "dropped",
    "rejected",
    "failed",
    "lag_p50_ms",
    "lag_p99_ms",
)
METRICS: Final = (*HIGHER, *LOWER)
SHARES: Final = ("attainment", "accuracy", "utility", "measured_accuracy", "gap")

LIMIT: Final = re.compile(r"(?P<metric>\w+)\s*(?:(?P<operator><=|>=|<|>)|:)\s*(?P<sign>[+-]?)(?P<amount>\d+\.?\d*|\.\d+)\s*(?P<unit>%|pp)?")
OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ROUNDING: Final = 1e-9
"""What a difference of two floats may be off by: 0.99 - 0.985 is a little more than half a point."""


class Difference(NamedTuple):
    """One metric of both runs; `matters` when either value lies outside the other's interval, None where there is no interval."""

    metric: str
    base: float | None
    head: float | None
    difference: float | None
    matters: bool | None


@dataclass(frozen=True)
class Limit:
    """What `--fail-on` forbids: with an operator a value of the head, without one a worsening against the base."""

    text: str
    metric: str
    operator: str | None
    amount: float
    unit: str

    def complaint(self, base: Mapping[str, Any], head: Mapping[str, Any]) -> str | None:
        """What is wrong with the head, or None when it keeps the limit."""
        if not self._broken(value(base, self.metric), value(head, self.metric)):
            return None
        against = "" if self.operator else f", base {written(self.metric, base.get(self.metric))}"
        return f"{self.text}: {self.metric} is {written(self.metric, head.get(self.metric))}{against}"

    def _broken(self, before: float, after: float) -> bool:
        if self.operator:
            return OPERATORS[self.operator](after, self.amount)
        return self._worse_by(before, after) > self.amount + ROUNDING

    def _worse_by(self, before: float, after: float) -> float:
        """How much worse the head is, in the limit's unit; from a finite value to none at all is infinitely worse."""
        if before == after:
            return 0.0
        worse = before - after if self.metric in HIGHER else after - before
        if math.isinf(worse):
            return worse
        if self.unit == "%":
            return 100 * worse / abs(before) if before else math.copysign(math.inf, worse)
        return 100 * worse if self.unit == "pp" else worse


def limit(text: str) -> Limit:
    """`attainment:-0.5pp`, `p99_ms:5%`, `late:10` (worse than the base by more than that) or `accuracy<0.78`; raises BadOption."""
    hint = f"write METRIC:5%, METRIC:0.5pp, METRIC:0.001 or METRIC<0.78; metrics: {', '.join(METRICS)}"
    found = LIMIT.fullmatch(text.strip())
    if not found:
        raise BadOption(f"--fail-on {text!r} is not a condition", hint=hint)
    metric, comparison, unit, sign = found["metric"], found["operator"], found["unit"] or "", found["sign"]
    if metric not in METRICS:
        raise BadOption(f"--fail-on {text!r}: there is no metric {metric!r}", hint=hint)
    if unit == "pp" and metric not in SHARES:
        raise BadOption(
            f"--fail-on {text!r}: percentage points are for {', '.join(SHARES)}", hint="write 5% or a number in the metric's unit"
        )
    if comparison and (unit == "pp" or (unit == "%" and metric not in SHARES)):
        raise BadOption(f"--fail-on {text!r}: a value has no unit here", hint="write the plain number, as in accuracy<0.78 or p99_ms>50")
    if not comparison and sign == ("+" if metric in HIGHER else "-"):
        raise BadOption(f"--fail-on {text!r}: a change that way is better, not worse", hint=f"write {metric}:{found['amount']}{unit}")
    signed = float(found["amount"]) * (-1 if comparison and sign == "-" else 1)
    return Limit(text.strip(), metric, comparison, signed / 100 if comparison and unit == "%" else signed, "" if comparison else unit)


def value(summary: Mapping[str, Any], metric: str) -> float:
    """A metric for comparing: what is unknown or infinite is the worst there is."""
    found = summary.get(metric)
    return float(found) if found is not None else (-math.inf if metric in HIGHER else math.inf)


def differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[Difference]:
    """Every metric that either run knows."""
    return [_difference(metric, base, head) for metric in METRICS if base.get(metric) is not None or head.get(metric) is not None]


def _difference(metric: str, base: Mapping[str, Any], head: Mapping[str, Any]) -> Difference:
    before, after = base.get(metric), head.get(metric)
    change = None if before is None or after is None else after - before
    return Difference(metric, before, after, change, _matters(metric, base, head))


def _matters(metric: str, base: Mapping[str, Any], head: Mapping[str, Any]) -> bool | None:
    if base.get(metric) == head.get(metric):
        return False
    if any(summary.get(key) is None for summary in (base, head) for key in (metric, f"{metric}_low", f"{metric}_high")):
        return None
    return _outside(head[metric], metric, base) or _outside(base[metric], metric, head)


def _outside(number: float, metric: str, summary: Mapping[str, Any]) -> bool:
    return not summary[f"{metric}_low"] <= number <= summary[f"{metric}_high"]


def written(metric: str, number: float | None) -> str:
    """A metric's value as a person reads it."""
    if number is None:
        return notation.INFINITE if metric.startswith("p") and metric.endswith("_ms") else notation.UNKNOWN
    if metric == "gap":
        return f"{notation.points(number)} pp"
    if metric in SHARES:
        return notation.percent(number)
    if metric.endswith("_ms"):
        return f"{notation.milliseconds(number)} ms"
    return f"{number:,.1f}" if metric.endswith("_qps") else notation.count(number)


def changed(row: Difference) -> str:
    """The difference of a metric with its sign, shares in percentage points."""
    if row.difference is None:
        return notation.UNKNOWN if row.base != row.head else "0"
    if row.metric in SHARES:
        return f"{100 * row.difference:+.2f} pp"
    if row.metric.endswith("_ms"):
        return f"{row.difference:+.2f} ms"
    return f"{round(row.difference, 1) + 0.0:+,.1f}" if row.metric.endswith("_qps") else f"{row.difference:+,.0f}"
