import json
import re
from pathlib import Path

import pytest

from superserve_cli.app import run

CSV = "subnet,batch_size,latency_ms,accuracy\ns,1,2,0.7\ns,4,4,0.7\nl,1,6,0.9\nl,4,12,0.9\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text(CSV)


def capacity(*options: str) -> int:
    return run(["capacity", "--trace", "bursty:2", "--profile", "p.csv", "--duration", "2", "--seeds", "2", *options])


def test_the_found_rate_is_the_attainment_that_a_replay_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity("--policy", "slackfit", "--workers", "2", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["policies"]
    assert found["attainment"] >= 0.999 > found["next"]["attainment"]
    again = ["replay", "--trace", "bursty:2", "--profile", "p.csv", "--policy", "slackfit", "--duration", "2", "--workers", "2"]
    assert run([*again, "--mean-qps", str(found["qps"]), "--seed", "1", "--out", "r", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["attainment"] == found["attainment_by_seed"][1]


def test_without_a_policy_all_are_searched_and_those_that_carry_most_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity("--json", "--attainment", "0.9") == 0
    told = json.loads(capsys.readouterr().out)
    rates = [policy["qps"] for policy in told["policies"] if policy["found"]]
    assert rates == sorted(rates, reverse=True)
    assert {"slackfit", "max-batch", "infaas", "fixed:s", "fixed:l"} <= {policy["policy"] for policy in told["policies"]}


def test_more_accurate_subnets_need_more_workers_for_the_same_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity("--mean-qps", "900", "--policy", "fixed:s", "--policy", "fixed:l", "--json") == 0
    small, large = json.loads(capsys.readouterr().out)["policies"]
    assert (small["policy"], large["policy"]) == ("fixed:s", "fixed:l")
    assert small["workers"] < large["workers"]
    assert large["next"]["workers"] == large["workers"] - 1


def test_the_table_fits_eighty_columns_and_a_policy_without_an_answer_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert capacity("--policy", "fixed:l", "--policy", "fixed:s", "--slo-ms", "5") == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert re.search(r"fixed:l .* none .* none .* 0.000", printed)
    assert "none: below 99.9 % even at" in printed


def test_a_folder_gets_data_picture_and_page_and_keeps_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c").mkdir()
    Path("c/mine.txt").write_text("precious")
    assert capacity("--policy", "infaas", "--out", "c") == 0
    assert {p.name for p in Path("c").iterdir()} == {"mine.txt", "capacity.json", "capacity.svg", "report.md"}
    first = Path("c/capacity.json").read_text()
    capsys.readouterr()
    assert capacity("--policy", "infaas", "--out", "c") == 2
    assert "c/capacity.json exists" in capsys.readouterr().err
    assert capacity("--policy", "infaas", "--out", "c", "--overwrite") == 0
    again = json.loads(Path("c/capacity.json").read_text())
    assert again["policies"] == json.loads(first)["policies"]


def test_a_file_keeps_its_rate_so_only_workers_can_be_searched(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("arrival_s\n" + "".join(f"{i / 600}\n" for i in range(600)))
    file = ["capacity", "--trace", "file:t.csv", "--profile", "p.csv", "--policy", "infaas"]
    assert run([*file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["workers"] == 1
    assert run([*file, "--workers", "4"]) == 2
    assert "no other rate can be tried" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--attainment", "0"], "--attainment is 0"),
        (["--attainment", "1.5"], "--attainment is 1.5"),
        (["--attainment", "nan"], "--attainment is nan"),
        (["--workers", "0"], "0 workers"),
        (["--seeds", "0"], "0 seeds"),
        (["--seeds", "1000"], "1000 seeds"),
        (["--mean-qps", "0"], "--mean-qps is 0"),
        (["--mean-qps", "5", "--workers", "2"], "leave nothing to search"),
        (["--slo-ms", "-1"], "--slo-ms is -1"),
        (["--policy", "slakfit"], "did you mean slackfit"),
        (["--policy", "fixed:x"], "no served subnet 'x'"),
        (["--late", "never"], "no late rule 'never'"),
        (["--service", "measured"], "no quantiles"),
        (["--trace", "file:none.csv"], "there is no none.csv"),
        (["--trace", "azur"], "no trace 'azur'"),
        (["--profile", "none.parquet"], "there is no none.parquet"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    duration = [] if "file:none.csv" in options else ["--duration", "2"]
    assert run(["capacity", "--trace", "poisson", "--profile", "p.csv", *duration, "--out", "c", *options]) == 2
    said = capsys.readouterr().err.strip()
    assert says in said
    assert said.startswith("error: ")
    assert "\n" not in said
    assert not Path("c").exists()
