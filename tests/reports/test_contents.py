import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superserve_cli import profiles, reports
from superserve_cli.core.files import write_table
from superserve_cli.core.nouns import Request
from superserve_cli.engine import recording
from superserve_cli.engine.recording import Recorder
from superserve_cli.errors import BadFile
from superserve_cli.policies import named
from superserve_cli.reports.contents import _metadata
from tests.reports.runs import keep, steady

CSV = "subnet,batch_size,latency_ms,accuracy\na,1,1.5,0.7\na,2,2,0.7\nb,1,3,0.8\nb,2,5,0.8\nc,1,4,0.75\nc,2,6,0.75\n"


def test_a_profile_shows_its_latencies_and_what_would_be_served(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(CSV)
    found = reports.contents(tmp_path / "p.csv")
    assert found.kind == "profile"
    assert ("rows", "3 subnets x 2 batch sizes") in found.facts
    assert list(found.rows) == [
        ("a", "70.00 %", "1.50", "2.00", "yes"),
        ("b", "80.00 %", "3.00", "5.00", "yes"),
        ("c", "75.00 %", "4.00", "6.00", ""),
    ]
    assert found.data["subnets"][1]["plan_ns"] == (3_000_000, 5_000_000)


def test_a_profile_in_parquet_shows_where_it_comes_from(tmp_path: Path) -> None:
    table = pa.table({"subnet": ["a"], "batch_size": pa.array([1], pa.int32()), "plan_ns": [7], "accuracy": [0.5]})
    profiles.save(tmp_path / "p.parquet", table, {"supernet": "glyphs", "versions": {"torch": "2"}})
    facts = dict(reports.contents(tmp_path / "p.parquet").facts)
    assert (facts["supernet"], facts["versions"]) == ("glyphs", "torch 2")
    assert len(facts["hash"]) == 12


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_trace_shows_how_bursty_it_is(tmp_path: Path, name: str) -> None:
    if name == "t.csv":
        (tmp_path / name).write_text("arrival_s\n0\n1\n2\n")
    else:
        arrivals = pa.table({"arrival_ns": pa.array([0, 10**9, 2 * 10**9])})
        write_table(tmp_path / name, arrivals, "trace/1", {"source": "poisson", "seed": 3})
    found = reports.contents(tmp_path / name)
    assert found.kind == "trace"
    assert ("requests", "3") in found.rows
    assert found.data["requests"] == 3
    assert dict(found.facts)["source"].startswith("file:" if name == "t.csv" else "poisson")


def test_a_recording_shows_what_happened_how_often(tmp_path: Path) -> None:
    profile = profiles.load("modelled").served()
    engine = Recorder(profile, named("slackfit"), "drop", 1, lambda: 2_500_000_000)
    engine.restore(0)
    for id in range(3):
        engine.arrive(Request(id, 0, 10**9))
        engine.decide(0)
    recording.write(tmp_path / "events.parquet", engine.recording())
    found = reports.contents(tmp_path / "events.parquet")
    assert found.kind == "recording of a server's decisions"
    assert {("rows", "7 events and decisions in 2.5 s"), ("policy", "slackfit"), ("workers", "1")} <= set(found.facts)
    assert {("arrive", "3"), ("dispatch", "1"), ("nothing", "2"), ("lose", "0")} <= set(found.rows)
    assert json.dumps(found.data)


def test_a_run_shows_its_manifest_and_figures(tmp_path: Path) -> None:
    keep(tmp_path, steady())
    for path, kind in ((tmp_path, "run folder"), (tmp_path / "outcomes.parquet", "outcomes of a run")):
        found = reports.contents(path)
        assert found.kind == kind
        assert dict(found.facts)["Policy"] == "slackfit"
        assert {row[0]: row[1] for row in found.rows}["Met"] == "90"
        assert found.data["summary"]["met"] == 90
        assert json.dumps(found.data)


def test_a_comparison_shows_its_runs(tmp_path: Path) -> None:
    for policy in ("slackfit", "infaas"):
        keep(tmp_path / policy, steady(policy=policy))
    found = reports.contents(tmp_path)
    assert found.kind == "comparison of runs"
    assert [row[0] for row in found.rows] == ["infaas", "slackfit"]


def test_what_is_not_ours_is_answered_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "bare.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9,x\n")
    (tmp_path / "folder").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "bare.parquet")
    write_table(tmp_path / "later.parquet", pa.table({"x": [1]}), "profile/2", {})
    expected = {
        "absent": "there is no",
        "text": "neither Parquet nor CSV",
        "bare.json": "JSON that is not ours",
        "broken.json": "not readable JSON",
        "latin.csv": "not a readable CSV",
        "folder": "a folder without a run",
        "bare.parquet": "does not say which",
        "later.parquet": "holds profile/2",
    }
    for name, message in expected.items():
        with pytest.raises(BadFile, match=message):
            reports.contents(tmp_path / name)


def test_a_summary_points_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"schema": "summary/1"}')
    with pytest.raises(BadFile, match="summary/1") as refusal:
        reports.contents(tmp_path / "summary.json")
    assert str(tmp_path) in refusal.value.hint


def test_provenance_is_told_in_words() -> None:
    told = {"improved": True, "course": {"specs": ["bursty", "azure"], "loads": [], "qps": None, "seed": 0}, "hash": "0" * 64, "late": ""}
    assert _metadata(told, tuple(told)) == [("improved", "yes"), ("course", "specs bursty azure, seed 0"), ("hash", "0" * 12)]
