import json
import re
from pathlib import Path

import pytest

from superserve_cli import reports
from superserve_cli.app import run
from superserve_cli.policies import ALL

CSV = "subnet,batch_size,latency_ms,accuracy\n" + "".join(
    f"{subnet},{size},{base + size},{accuracy}\n"
    for subnet, base, accuracy in (("s", 2, 0.7), ("m", 5, 0.8), ("l", 9, 0.9))
    for size in (1, 4)
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text(CSV)


def replay(*options: str) -> int:
    return run(["replay", "--trace", "poisson", "--profile", "p.csv", "--duration", "2", "--workers", "2", *options])


def test_without_a_policy_all_are_compared_and_ranked_by_utility(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay("--json") == 0
    summary = json.loads(capsys.readouterr().out)
    utilities = [policy["utility"] for policy in summary["policies"]]
    assert utilities == sorted(utilities, reverse=True)
    assert {p["policy"] for p in summary["policies"]} == {*ALL, "fixed:s", "fixed:m", "fixed:l"}
    assert (Path("runs/poisson-1") / "fixed-s" / "outcomes.parquet").is_file()
    assert (Path("runs/poisson-1") / "report.html").is_file()


def test_one_policy_is_a_run_folder_itself_and_the_next_run_gets_the_next_number() -> None:
    assert replay("--policy", "slackfit") == 0
    assert replay("--policy", "slackfit") == 0
    assert [reports.read_run(Path(f"runs/poisson-{n}")).policy for n in (1, 2)] == ["slackfit", "slackfit"]


def test_the_same_seed_gives_the_same_outcomes_and_another_seed_others() -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert replay("--policy", "slackfit", "--seed", seed, "--out", out) == 0
    a, b, c = (reports.read_run(Path(out)) for out in "abc")
    assert (a.outcomes.ended_ns == b.outcomes.ended_ns).all()
    assert a.manifest["trace"]["hash"] == b.manifest["trace"]["hash"] != c.manifest["trace"]["hash"]


def test_the_manifest_says_everything_that_decides_a_run() -> None:
    assert replay("--policy", "max-batch", "--late", "drop", "--slo-ms", "25.5", "--load", "0.5", "--out", "r") == 0
    manifest = reports.read_run(Path("r")).manifest
    decided = {key: manifest[key] for key in ("kind", "policy", "late", "service", "workers", "slo_ns", "seed")}
    assert decided == {
        "kind": "simulated",
        "policy": "max-batch",
        "late": "drop",
        "service": "fixed",
        "workers": 2,
        "slo_ns": 25_500_000,
        "seed": 0,
    }
    assert manifest["load"] == pytest.approx(0.5, rel=0.2)
    assert manifest["trace"]["synthetic"] is True


def test_every_run_says_how_far_it_is_from_a_bound_that_holds_for_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    Path("p.csv").write_text(CSV.replace("\ns,", "\nd111-w0.6-e0.5,"))
    assert replay("--load", "1.5", "--out", "r") == 0
    said = capsys.readouterr().out
    assert "gap" in said
    assert "no scheduler can pass it" in said
    assert max(map(len, said.splitlines())) <= 80
    bounds = {reports.read_run(folder).manifest["utility_bound"] for folder in reports.find_runs(Path("r"))}
    assert len(bounds) == 1
    (bound,) = bounds
    for policy in json.loads(Path("r/summary.json").read_text())["policies"]:
        assert policy["utility_bound"] == bound
        assert policy["gap"] == pytest.approx(bound - policy["utility"], abs=1e-11)
        assert policy["gap"] >= 0


def test_without_accuracies_there_is_no_bound_and_no_gap() -> None:
    Path("p.csv").write_text("subnet,batch_size,latency_ms\ns,1,2\n")
    assert replay("--policy", "fixed:s", "--out", "r") == 0
    assert reports.read_run(Path("r")).manifest["utility_bound"] is None
    assert json.loads(Path("r/summary.json").read_text())["gap"] is None


def test_a_file_is_replayed_exactly_as_it_is() -> None:
    Path("t.csv").write_text("arrival_s,slo_ms\n0,10\n0.001,30\n0.002,\n")
    assert run(["replay", "--trace", "file:t.csv", "--profile", "p.csv", "--policy", "slackfit", "--slo-ms", "50", "--out", "r"]) == 0
    outcomes = reports.read_run(Path("r")).outcomes
    assert outcomes.arrival_ns.tolist() == [0, 1_000_000, 2_000_000]
    assert outcomes.deadline_ns.tolist() == [10_000_000, 31_000_000, 52_000_000]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--policy", "slakfit"], "no policy 'slakfit' .did you mean slackfit"),
        (["--policy", "infaas", "--policy", "infaas"], "infaas and infaas would share the folder infaas"),
        (["--policy", "fixed:x"], "no served subnet 'x'"),
        (["--late", "never"], "no late rule 'never'"),
        (["--service", "measured"], "no quantiles"),
        (["--workers", "0"], "0 workers"),
        (["--slo-ms", "0"], "--slo-ms is 0"),
        (["--slo-ms", "nan"], "--slo-ms is nan"),
        (["--load", "nan"], "--load is nan"),
        (["--load", "-1"], "--load is -1"),
        (["--mean-qps", "-1"], "--mean-qps is -1"),
        (["--mean-qps", "1", "--load", "1"], "--load and --mean-qps both"),
        (["--seed", "-1"], "--seed is -1"),
        (["--subnets", "s,x"], "no subnet 'x'"),
        (["--subnets", ","], "no subnet is named"),
        (["--trace", "azur"], "no trace 'azur'"),
        (["--profile", "no-such"], "no-such"),
        (["--profile", "missing.parquet"], "there is no missing.parquet"),
        (["--target", "http://127.0.0.1:9"], "--profile, --workers cannot go with --target"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing_behind(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(*options) == 2
    said = capsys.readouterr().err.strip()
    assert re.search(says, said)
    assert said.startswith("error: ")
    assert "\n" not in said
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--target", "http://127.0.0.1:9"], "nothing answers at http://127.0.0.1:9"),
        (["--target", "nonsense"], "no http or grpc URL"),
        (["--trace", "file:t.csv", "--load", "1"], "--load cannot go with this trace"),
        (["--trace", "file:t.csv", "--mean-qps", "1"], "--mean-qps cannot go with this trace"),
    ],
)
def test_targets_and_files_refuse_what_makes_no_sense(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("arrival_s\n0\n")
    assert run(["replay", "--trace", "azure", *options]) == 2
    assert re.search(says, capsys.readouterr().err)
    assert not Path("runs").exists()


def test_a_folder_that_is_not_empty_is_refused_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    Path("r").mkdir()
    Path("r/mine.txt").write_text("precious")
    assert replay("--policy", "slackfit", "--out", "r") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert replay("--policy", "slackfit", "--out", "r", "--overwrite") == 0
    assert Path("r/mine.txt").read_text() == "precious"


INTERRUPTED = """
from superserve_cli.core.nouns import Choice
built = []

def late(profile, workers):
    built.append(workers)
    if len(built) > 1:  # the first time is the check before anything is claimed
        raise KeyboardInterrupt
    return lambda slack_ns, depth: Choice(profile.subnets[0], 1)
"""


def test_an_interrupted_replay_leaves_the_run_that_it_was_to_replace() -> None:
    Path("mine.py").write_text(INTERRUPTED)
    assert replay("--policy", "slackfit", "--out", "r") == 0
    before = {path: path.read_bytes() for path in Path("r").iterdir()}
    assert replay("--policy", "mine.py:late", "--out", "r", "--overwrite") == 130
    assert {path: path.read_bytes() for path in Path("r").iterdir()} == before


def test_an_interrupted_replay_leaves_no_empty_folder() -> None:
    Path("mine.py").write_text(INTERRUPTED)
    assert replay("--policy", "mine.py:late", "--out", "r") == 130
    assert not Path("r").exists()
