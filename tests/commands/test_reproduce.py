import json
from pathlib import Path

import pytest

from superserve_cli.app import run
from superserve_cli.studies.reproduction import claims


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def reproduce(*options: str) -> int:
    return run(["reproduce", "--quick", "--duration", "0.3", "--processes", "1", "--out", "r", *options])


def test_a_reproduction_is_a_page_with_every_claim_its_pictures_and_every_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce("bursty", "faults", "workers") == 0
    shown = capsys.readouterr()
    assert "bursty attainment" in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    page, written = Path("r/reproduction.md").read_text(), json.loads(Path("r/reproduction.json").read_text())
    asked = [claim for claim in claims.ALL if claim.experiment in ("bursty", "faults", "workers")]
    assert [claim["claim"] for claim in written["claims"]] == [claim.name for claim in asked]
    assert all(claim.says[1:] in page for claim in asked)
    assert "superserve reproduce bursty faults workers --profile modelled --late shed --seeds 1 --duration 0.3" in page
    assert {cell["experiment"] for cell in written["cells"]} == {"bursty", "faults", "workers"}
    for picture in ("bursty-modelled.svg", "workers-modelled.svg"):
        assert f"(reproduction/{picture})" in page
        assert Path("r/reproduction", picture).read_text().startswith("<?xml")


def test_every_figure_of_a_claim_is_the_one_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce("policies", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    cells = {(c["workload"], c["policy"]): c for c in printed["cells"]}
    slackfit = next(claim for claim in printed["claims"] if claim["claim"] == "SlackFit")
    worst = min(cell["attainment"] for (_, policy), cell in cells.items() if policy == "slackfit")
    assert slackfit["figures"][0]["value"] == pytest.approx(worst)
    assert slackfit["figures"][0]["difference"] == pytest.approx(worst - 0.999)


def test_the_same_command_goes_on_and_another_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce("faults") == 0
    cells = Path("r/cells.jsonl").read_text()
    assert reproduce("faults") == 0
    assert Path("r/cells.jsonl").read_text() == cells
    assert reproduce("policies") == 0
    assert Path("r/cells.jsonl").read_text().startswith(cells)
    assert reproduce("faults", "--duration", "0.2") == 2
    assert "was made otherwise: seconds 0.3, now 0.2" in capsys.readouterr().err.replace("\n", " ")
    assert reproduce("faults", "--duration", "0.2", "--overwrite") == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["fault"], "no experiment 'fault'"),
        (["--late", "never"], "no late rule 'never'"),
        (["--profile", "nobody"], "no shipped profile"),
        (["--service", "measured"], "no quantiles"),
        (["--service", "guessed"], "no service rule 'guessed'"),
        (["--duration", "0"], "--duration is 0"),
        (["--azure", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce(*options) == 2
    assert complaint in capsys.readouterr().err
    assert not Path("r").exists()


def test_a_folder_of_something_else_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("r").mkdir()
    Path("r/mine.txt").write_text("mine")
    assert reproduce("faults") == 2
    assert "holds no reproduction" in capsys.readouterr().err
    assert [path.name for path in Path("r").iterdir()] == ["mine.txt"]


def test_a_real_file_of_azure_takes_the_place_of_the_synthetic_trace() -> None:
    minutes = ",".join(str(minute) for minute in range(1, 5))
    Path("azure.csv").write_text(f"HashOwner,HashApp,HashFunction,Trigger,{minutes}\no,a,f,http,10,30,10,20\n")
    assert reproduce("maf", "--azure", str(Path("azure.csv").absolute())) == 0
    page = Path("r/reproduction.md").read_text()
    assert "`azure.csv`, a real file of the Azure Functions trace of 2019" in page
    assert str(Path.cwd()) not in page
