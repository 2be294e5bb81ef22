"""What is wrong with a profile or with what is asked of it, through the command line: one line, and nothing left behind."""

import json
from pathlib import Path

import pytest

from superserve_cli import reports
from superserve_cli.app import run

HEAD = "subnet,batch_size,latency_ms,accuracy\n"
GOOD = HEAD + "s,1,2,0.7\ns,4,4,0.7\nl,1,6,0.9\nl,4,12,0.9\n"
HOLE = HEAD + "s,1,2,0.7\ns,4,4,0.7\nl,1,6,0.9\n"
FALLING = HEAD + "s,1,4,0.7\ns,4,2,0.7\nl,1,12,0.9\nl,4,6,0.9\n"
ONE = HEAD + "only,1,5,0.8\n"
MIX = "share,tenant,slo_ms,min_accuracy,size\n2,plain,,,\n1,picky,40,0.95,\n1,wide,60,0.8,2\n"
VERBS = {
    "replay": ["--load", "0.5", "--out", "r"],
    "capacity": ["--seeds", "1", "--out", "r"],
}


@pytest.fixture(autouse=True)
def _in_a_folder_with_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"good.csv": GOOD, "hole.csv": HOLE, "falling.csv": FALLING, "one.csv": ONE, "mix.csv": MIX}.items():
        Path(name).write_text(text)


def ask(verb: str, *options: str) -> int:
    return run([verb, "--trace", "poisson", "--duration", "1", "--policy", "slackfit", *VERBS[verb], *options])


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--profile", "hole.csv"], "subnet l lacks batch size 4"),
        (["--profile", "good.csv", "--workers", "0"], "0 workers"),
        (["--profile", "good.csv", "--workers", "-3"], "-3 workers"),
        (["--profile", "one.csv", "--policy", "fixed:s"], "no served subnet 's'"),
        (["--profile", "good.csv", "--mix", "good.csv"], "has a column 'subnet'"),
        (["--profile", "good.csv", "--mix", "none.csv"], "there is no none.csv"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_leaves_nothing(
    verb: str, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(verb, *options) == 2
    said = capsys.readouterr().err.strip()
    assert says in said
    assert said.startswith("error: ")
    assert "\n" not in said
    assert not Path("r").exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("profile", "workers"), [("one.csv", "1"), ("falling.csv", "2")])
def test_one_subnet_one_worker_and_latencies_that_fall_with_the_batch_are_served(
    verb: str, profile: str, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(verb, "--profile", profile, "--workers", workers, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    best = told["policies"][0] if verb == "capacity" else told
    assert best["attainment"] > 0.9


def test_where_latencies_fall_with_the_batch_every_request_still_ends_once() -> None:
    assert ask("replay", "--profile", "falling.csv", "--late", "drop", "--slo-ms", "20") == 0
    outcomes = reports.read_run(Path("r")).outcomes
    summary = json.loads(Path("r/summary.json").read_text())
    assert sum(summary[status] for status in ("met", "late", "dropped", "rejected", "failed")) == len(outcomes)
    assert summary["attainment"] > 0.9


def test_a_floor_that_no_subnet_reaches_is_rejected_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("replay", "--profile", "good.csv", "--mix", "mix.csv") == 0
    said = " ".join(capsys.readouterr().err.split())
    summary = json.loads(Path("r/summary.json").read_text())
    picky = summary["tenants"]["picky"]
    assert picky["rejected"] == picky["requests"] == summary["rejected"] == summary["unreached"]["requests"]
    assert (
        f"warning: {picky['requests']} requests rejected, because no subnet reaches an accuracy floor of 95 % (the best has 90 %)" in said
    )
    assert "no subnet reaches an accuracy floor of 95 %" in Path("r/report.md").read_text()
    assert (summary["tenants"]["wide"]["accuracy"], summary["tenants"]["plain"]["rejected"]) == (pytest.approx(0.9), 0)


def test_tenants_of_a_mix_are_shown_on_the_terminal_and_in_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("replay", "--profile", "good.csv", "--mix", "mix.csv", "--policy", "infaas", "--policy", "fixed:s") == 0
    captured = capsys.readouterr()
    assert all(captured.out.count(name) >= 3 for name in ("plain", "picky", "wide"))
    assert "fixed:s" in captured.err
    assert "accuracy floor of 80 to 95 % (the best has 70 %)" in " ".join(captured.err.split())
    assert "## Tenants" in Path("r/report.md").read_text()


def test_a_mix_becomes_columns_of_a_trace_and_counts_rows_as_load(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "poisson", "--mix", "mix.csv", "--duration", "2", "--out", "t.parquet"]) == 0
    assert run(["replay", "--trace", "file:t.parquet", "--profile", "good.csv", "--policy", "infaas", "--out", "r"]) == 0
    assert set(json.loads(Path("r/summary.json").read_text())["tenants"]) == {"plain", "picky", "wide"}
    capsys.readouterr()
    assert ask("replay", "--profile", "good.csv", "--mix", "mix.csv", "--out", "rows") == 0
    assert reports.read_run(Path("rows")).manifest["load"] == pytest.approx(0.5, rel=0.1)
