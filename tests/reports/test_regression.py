from typing import Any

import pytest

from superserve_cli.errors import BadOption
from superserve_cli.reports.regression import METRICS, changed, differences, limit, written

BASE: dict[str, Any] = {
    "attainment": 0.99,
    "attainment_low": 0.98,
    "attainment_high": 1.0,
    "accuracy": 0.78,
    "p99_ms": 40.0,
    "p95_ms": None,
    "late": 0,
}


def broken(condition: str, **head: Any) -> bool:
    return limit(condition).complaint(BASE, {**BASE, **head}) is not None


@pytest.mark.parametrize(
    ("condition", "head", "fails"),
    [
        ("attainment:-0.5pp", {"attainment": 0.985}, False),
        ("attainment:-0.5pp", {"attainment": 0.9849}, True),
        ("attainment:0.5pp", {"attainment": 0.9849}, True),
        ("attainment:-0.5pp", {"attainment": 1.0}, False),
        ("attainment:1%", {"attainment": 0.9802}, False),
        ("attainment:1%", {"attainment": 0.98}, True),
        ("attainment:0.001", {"attainment": 0.988}, True),
        ("p99_ms:5%", {"p99_ms": 42.0}, False),
        ("p99_ms:5%", {"p99_ms": 42.1}, True),
        ("p99_ms:+5%", {"p99_ms": 42.1}, True),
        ("p99_ms:5%", {"p99_ms": 10.0}, False),
        ("p99_ms:2", {"p99_ms": 42.1}, True),
        ("late:0", {"late": 1}, True),
        ("late:5%", {"late": 1}, True),
        ("late:5%", {"late": 0}, False),
        ("accuracy<0.78", {"accuracy": 0.78}, False),
        ("accuracy<=0.78", {"accuracy": 0.78}, True),
        ("accuracy < 78%", {"accuracy": 0.77}, True),
        ("p99_ms>50", {"p99_ms": 51}, True),
        ("p99_ms >= 50", {"p99_ms": 49}, False),
    ],
)
def test_a_condition_fails_when_the_head_is_worse_by_more_than_it_allows(condition: str, head: dict[str, Any], fails: bool) -> None:
    assert broken(condition, **head) is fails


@pytest.mark.parametrize("condition", ["p99_ms:5%", "p99_ms:1000", "p99_ms>50"])
def test_a_percentile_that_became_infinite_is_a_regression(condition: str) -> None:
    assert broken(condition, p99_ms=None)


def test_infinite_before_and_after_is_no_regression_and_finite_after_infinite_is_better() -> None:
    assert not broken("p95_ms:5%", p95_ms=None)
    assert not broken("p95_ms:5%", p95_ms=10.0)
    assert broken("p95_ms>1e3".replace("1e3", "1000"), p95_ms=None)


def test_an_accuracy_that_nobody_knows_any_more_is_a_regression() -> None:
    assert broken("accuracy:1%", accuracy=None)
    assert broken("accuracy<0.1", accuracy=None)


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "attainment",
        "attainment:",
        "attainment:x",
        "attainment=0.5",
        "speed:5%",
        "p99_ms:1pp",
        "p99_ms>5%",
        "accuracy<1pp",
        "attainment:+1pp",
        "p99_ms:-5%",
        "attainment:nan",
        "attainment:1e400",
        "accuracy<0.7 or more",
    ],
)
def test_a_bad_condition_is_refused_with_what_may_be_written(condition: str) -> None:
    with pytest.raises(BadOption, match="--fail-on") as refusal:
        limit(condition)
    assert refusal.value.hint


def test_an_unknown_metric_is_answered_with_all_metrics() -> None:
    with pytest.raises(BadOption, match="'speed'") as refusal:
        limit("speed:5%")
    assert all(metric in refusal.value.hint for metric in METRICS)


def test_a_complaint_says_condition_head_and_base() -> None:
    assert (
        limit("attainment:-0.5pp").complaint(BASE, {**BASE, "attainment": 0.9}) == "attainment:-0.5pp: attainment is 90.00 %, base 99.00 %"
    )
    assert limit("p99_ms>50").complaint(BASE, {**BASE, "p99_ms": None}) == "p99_ms>50: p99_ms is ∞"


def test_a_difference_matters_when_it_leaves_either_interval() -> None:
    def matters(attainment: float, low: float, high: float) -> bool | None:
        head = {**BASE, "attainment": attainment, "attainment_low": low, "attainment_high": high}
        return next(row.matters for row in differences(BASE, head) if row.metric == "attainment")

    assert matters(0.99, 0.5, 0.9) is False  # the same
    assert matters(0.985, 0.98, 0.99) is False
    assert matters(0.985, 0.98, 0.986) is True
    assert matters(0.97, 0.9, 1.0) is True
    assert next(row.matters for row in differences(BASE, {**BASE, "p99_ms": 41}) if row.metric == "p99_ms") is None


def test_differences_name_only_metrics_that_either_run_knows() -> None:
    assert [row.metric for row in differences(BASE, {"utility": 0.5})] == ["attainment", "accuracy", "utility", "p99_ms", "late"]


def test_values_and_differences_are_written_in_their_units() -> None:
    rows = {row.metric: row for row in differences(BASE, {**BASE, "attainment": 0.985, "p99_ms": None, "late": 3})}
    assert changed(rows["attainment"]) == "-0.50 pp"
    assert changed(rows["late"]) == "+3"
    assert changed(rows["p99_ms"]) == "–"
    assert changed(rows["accuracy"]) == "+0.00 pp"
    assert written("p99_ms", None) == "∞"
    assert written("accuracy", None) == "–"
    assert written("gap", 0.0123) == "1.23 pp"
    assert written("goodput_qps", 12.34) == "12.3"
    assert written("p99_ms", 41.25) == "41.2 ms"
