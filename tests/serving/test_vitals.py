"""The names and units of all metrics, by the rules that Prometheus' own linter checks."""

import os
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.vitals import Vital, Vitals

NOT_BASE = [
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "_ms",
    "_us",
    "_ns",
    "kilobytes",
    "megabytes",
    "_kb",
    "_mb",
    "percent",
]


def exposed(vital: Vital) -> str:
    metrics = Metrics()
    metrics.dispatches["a-subnet", 4] += 1
    metrics.registry.register(Vitals(lambda: vital))
    return metrics.exposition().decode()


@pytest.fixture(scope="module")
def text() -> str:
    return exposed(Vital(3, 0.5, 1024, {"failed": 1, "replaced": 0}, [os.getpid(), None], 4e9, {"policy": 'a "quoted" one'}))


def test_every_family_has_help_a_type_and_a_name_in_base_units(text: str) -> None:
    families = list(text_string_to_metric_families(text))
    assert len(families) > 15
    for family in families:
        name = family.name
        assert re.fullmatch(r"superserve_[a-z][a-z_]*", name)
        assert family.documentation
        assert family.type != "unknown"
        assert family.type not in name
        assert not any(name.endswith(unit) or f"{unit}_" in name for unit in NOT_BASE)
        samples = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert samples <= {f"{name}_total"}
        else:
            assert not name.endswith("_total")
        if family.type != "histogram":
            assert not name.endswith(("_count", "_sum", "_bucket"))
            assert all("le" not in sample.labels for sample in family.samples)
    names = [family.name for family in families]
    assert len(set(names)) == len(names)


def test_the_values_are_what_was_looked_at(text: str) -> None:
    for line in (
        "superserve_connections 3.0",
        "superserve_queue_oldest_age_seconds 0.5",
        "superserve_pending_bytes 1024.0",
        'superserve_swaps_total{result="failed"} 1.0',
        'superserve_serving_info{policy="a \\"quoted\\" one"} 1.0',
        "superserve_tls_certificate_expiry_timestamp_seconds 4e+09",
    ):
        assert line in text.splitlines()
    (memory,) = [line for line in text.splitlines() if line.startswith('superserve_worker_resident_memory_bytes{worker="0"}')]
    assert float(memory.split()[1]) > 1e6


def test_what_there_is_not_is_not_said() -> None:
    text = exposed(Vital(0, 0, 0, {}, [2**22 + 1]))
    assert "certificate" not in text
    assert "serving_info" not in text
    assert 'worker="0"' not in text


def test_every_family_stands_in_the_documents(text: str) -> None:
    table = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    for family in text_string_to_metric_families(text):
        assert f"`{family.name}{'_total' if family.type == 'counter' else ''}" in table
