import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superserve_cli import profiles
from superserve_cli.core.files import write_table
from superserve_cli.errors import BadFile
from superserve_cli.profiles import accuracy, part, subject
from superserve_cli.profiles.subject import Subject

Y = np.arange(40) % 4
X = np.stack([Y, Y], axis=1).astype(np.float32)


@pytest.fixture
def measured(worker) -> Subject:  # type: ignore[no-untyped-def]
    return Subject(
        supernet="known",
        supernet_hash="abc",
        subnets=("s0", "s1", "s2"),
        batch_sizes=(1, 64),
        worker=worker,
        x=X,
        judge=accuracy.measured(X, Y, "numbers"),
        seed=3,
        cost=lambda name: (int(name[-1]), None),
    )


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


def interrupt_in_round(number: int) -> object:
    def progress(done: int, total: int, note: str) -> None:
        if note.startswith(f"round {number} "):
            raise Interrupted

    return progress


def test_a_profile_from_beginning_to_end(measured: Subject, tmp_path: Path) -> None:
    out = tmp_path / "profile.parquet"
    samples = subject.sample(measured, 3, out)
    written = subject.write(measured, samples, out, {"command": ["superserve", "profile"]})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["profile.parquet"]
    again = profiles.load(out)
    assert again.subnets == written.subnets
    assert set(again.subnets) == {"s0", "s1", "s2"}
    assert again.batch_sizes == (1, 64)
    assert again.accuracy("s0") == 1
    assert again.accuracy("s2") == pytest.approx(0.75)
    assert again.quantiles_ns is not None
    stored = json.loads(pq.read_metadata(out).metadata[b"superserve"])
    expected = {"schema": "profile/1", "supernet": "known", "supernet_hash": "abc", "device": "known", "threads": 1, "rounds": 3, "seed": 3}
    assert {key: stored[key] for key in expected} == expected
    assert stored["dataset"] == "numbers"
    assert stored["command"] == ["superserve", "profile"]
    assert stored["disagreement"].keys() == {"median", "p90"}
    assert "pooled" in stored["plan"]


def test_after_an_interruption_the_rounds_so_far_are_there(measured: Subject, tmp_path: Path) -> None:
    out = tmp_path / "profile.parquet"
    assert subject.resumed(measured, out) is None
    with pytest.raises(Interrupted):
        subject.sample(measured, 5, out, progress=interrupt_in_round(3))  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == [".profile.parquet.part"]
    earlier = subject.resumed(measured, out)
    assert earlier is not None
    assert earlier.shape == (2, 3, 2)
    whole = subject.sample(measured, 5, out, earlier)
    assert whole[:2].tolist() == earlier.tolist()
    assert len(whole) == 5


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"supernet_hash": "abd"}, "another SuperNet"),
        ({"subnets": ("s0", "s1")}, "another subnets"),
        ({"batch_sizes": (1, 32)}, "another batch sizes"),
        ({"seed": 4}, "another seed"),
        ({"seed": 4, "supernet_hash": "abd"}, "another SuperNet and seed"),
    ],
)
def test_rounds_of_something_else_are_not_mixed_in(measured: Subject, tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    out = tmp_path / "profile.parquet"
    subject.sample(measured, 2, out)
    with pytest.raises(BadFile, match=complaint):
        subject.resumed(replace(measured, **change), out)  # type: ignore[arg-type]


def test_a_part_that_is_damaged_is_refused(measured: Subject, tmp_path: Path) -> None:
    out = tmp_path / "profile.parquet"
    part.path_of(out).write_text("no rounds")
    with pytest.raises(BadFile, match="not a readable Parquet file"):
        subject.resumed(measured, out)
    for latencies in ([1, 2, 3], [0] * 6):
        table = pa.table({"latency_ns": pa.array(latencies)})
        write_table(part.path_of(out), table, part.SCHEMA, {"what": json.loads(json.dumps(measured.identity))})
        with pytest.raises(BadFile, match="whole rounds"):
            subject.resumed(measured, out)
