from pathlib import Path

import numpy as np

from superserve_cli.core import outcomes
from superserve_cli.core.nouns import Request
from superserve_cli.core.outcomes import DROPPED, LATE, MET, NEVER
from superserve_cli.serving.ledger import Ledger


def test_outcomes_are_by_id_and_their_times_since_the_start(tmp_path: Path) -> None:
    ledger = Ledger(["small", "large"], [0.8, None])
    ledger.ended(Request(2, 130, 140, 0.7, 3), 131, DROPPED)
    ledger.served(Request(1, 120, 150), 121, 151, "large", 2, 1)
    ledger.served(Request(0, 110, 160), 121, 151, "small", 2, 0)
    written = ledger.outcomes(100)
    assert written.id.tolist() == [0, 1, 2]
    assert written.arrival_ns.tolist() == [10, 20, 30]
    assert written.finish_ns.tolist() == [51, 51, NEVER]
    assert written.ended_ns.tolist() == [51, 51, 31]
    assert written.status.tolist() == [MET, LATE, DROPPED]
    np.testing.assert_array_equal(written.accuracy, [0.8, np.nan, np.nan])
    outcomes.write(tmp_path / "outcomes.parquet", written, {})
    read, _ = outcomes.read(tmp_path / "outcomes.parquet")
    assert [read.subnets[i] if i >= 0 else None for i in read.subnet] == ["small", "large", None]
    assert read.extra["size"].to_pylist() == [1, 1, 3]
    assert read.extra["min_accuracy"].to_pylist() == [None, None, 0.7]


def test_a_run_without_requests_has_no_outcomes() -> None:
    assert len(Ledger(["small"], [0.8]).outcomes(0)) == 0
