from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.core import outcomes
from superserve_cli.core.files import write_table
from superserve_cli.core.outcomes import NEVER, STATUSES, Outcomes
from superserve_cli.errors import BadFile
from tests.reports.runs import Req
from tests.reports.runs import outcomes as made

ROWS = st.lists(
    st.builds(
        Req,
        at_ms=st.integers(0, 1000),
        latency_ms=st.one_of(st.none(), st.integers(0, 90)),
        subnet=st.sampled_from(["small", "large", "unmeasured"]),
        batch=st.sampled_from([1, 4]),
        tenant=st.one_of(st.none(), st.sampled_from(["a", "b"])),
        correct=st.one_of(st.none(), st.booleans()),
    ),
    max_size=20,
)
REQUIRED: dict[str, Any] = {"id": [0], "arrival_ns": [0], "deadline_ns": [50], "ended_ns": [20], "status": ["met"], "lag_ns": [0]}


def rows(of: Outcomes) -> list[dict[str, Any]]:
    return [dict(row) for row in outcomes.to_table(of).to_pylist()]


def kept(path: Path, **columns: Any) -> Path:
    write_table(path, pa.table({**REQUIRED, **columns}), "outcomes/1", {})
    return path


@given(ROWS)
def test_outcomes_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, requests: list[Req]) -> None:
    path = tmp_path_factory.mktemp("o") / "outcomes.parquet"
    before = made(*requests)
    outcomes.write(path, before, {"policy": "slackfit", "schema": "run/1"})
    after, manifest = outcomes.read(path)
    assert rows(after) == rows(before)
    assert manifest == {"policy": "slackfit", "schema": "outcomes/1"}
    for name in ("start_ns", "finish_ns", "accuracy", "worker", "batch_size", "status", "id"):
        assert getattr(after, name).dtype == getattr(before, name).dtype


def test_what_never_happened_is_null_in_the_file() -> None:
    (dropped,) = rows(made(Req(0)))
    assert [dropped[name] for name in ("start_ns", "finish_ns", "subnet", "accuracy", "batch_size", "worker")] == [None] * 6
    assert dropped["status"] == "dropped"
    assert dropped["ended_ns"] == 50_000_000


def test_rows_are_ordered_by_id_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    three = {name: values * 3 for name, values in REQUIRED.items()} | {"id": [2, 0, 1], "subnet": ["c", None, "b"], "lag_ns": [2, 0, 1]}
    found, _ = outcomes.read(kept(tmp_path / "o", **three))
    assert found.id.tolist() == found.lag_ns.tolist() == [0, 1, 2]
    assert [None if i < 0 else found.subnets[i] for i in found.subnet] == [None, "b", "c"]


def test_a_file_with_only_the_required_columns_is_enough(tmp_path: Path) -> None:
    found, _ = outcomes.read(kept(tmp_path / "o"))
    assert len(found) == 1
    assert found.finish_ns.tolist() == found.worker.tolist() == [NEVER]
    assert found.subnets == ()
    assert np.isnan(found.accuracy).all()
    assert found.extra == {}


def test_columns_that_are_all_null_are_as_good_as_absent(tmp_path: Path) -> None:
    found, _ = outcomes.read(kept(tmp_path / "o", tenant=pa.array([None], pa.string()), correct=[True]))
    assert list(found.extra) == ["correct"]


def test_every_status_has_its_place(tmp_path: Path) -> None:
    five = {name: values * 5 for name, values in REQUIRED.items()} | {"id": range(5), "status": list(STATUSES)}
    found, _ = outcomes.read(kept(tmp_path / "o", **{**five, "id": list(range(5))}))
    assert found.status.tolist() == [outcomes.MET, outcomes.LATE, outcomes.DROPPED, outcomes.REJECTED, outcomes.FAILED]


def test_what_cannot_be_outcomes_is_refused(tmp_path: Path) -> None:
    for name, column in (("status", ["lost"]), ("ended_ns", pa.array([None], pa.int64())), ("lag_ns", ["x"])):
        with pytest.raises(BadFile, match=name):
            outcomes.read(kept(tmp_path / name, **{name: column}))


def test_two_outcomes_of_one_request_are_refused(tmp_path: Path) -> None:
    twice = {name: values * 2 for name, values in REQUIRED.items()}
    with pytest.raises(BadFile, match="request 0 has several outcomes"):
        outcomes.read(kept(tmp_path / "o", **twice))
