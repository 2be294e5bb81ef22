import json
from pathlib import Path

import numpy as np
import pytest
import torch

from superserve_cli import supernet
from superserve_cli.app import run
from superserve_cli.search import table as tables
from superserve_cli.supernet import Statistics, SuperNet
from superserve_cli.supernet.conv import ConvNet
from superserve_cli.supernet.families import parameters
from superserve_cli.supernet.plan import norms

NETWORK = ConvNet((1, 8, 8), 3, widths=(8, 8, 8), depth=(1, 2), expand=(0.5, 1.0))
SUBNETS = list(NETWORK.space.enumerate())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained SuperNet; only its largest subnet has statistics, as in what others publish."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(0)
    np.savez("task.npz", x=rng.normal(size=(60, 1, 8, 8)).astype(np.float32), y=np.arange(60) % 3)
    draw = torch.Generator().manual_seed(0)
    weights = {name: torch.rand(shape, generator=draw) for name, shape in parameters(NETWORK).items()}
    largest = NETWORK.space.largest
    channels = sum(norm.channels for norm in norms(NETWORK.plan(NETWORK.space.parse(largest))))
    statistics = {largest: Statistics(torch.zeros(channels), torch.ones(channels))}
    metadata = {"name": "tiny", "task": {"name": "npz:task.npz", "seed": 0}}
    supernet.save(Path("tiny"), SuperNet("conv", NETWORK, weights, statistics, metadata))
    return Path("tiny")


def command(*more: str) -> list[str]:
    return ["search", "tiny", "--threads", "1", "--minutes", "0.05", *more]


def accuracies() -> str:
    """A table in which every subnet is better than those before it."""
    rows = "".join(f"{subnet},{0.5 + i / 100}\n" for i, subnet in enumerate(SUBNETS))
    Path("table.csv").write_text("subnet,accuracy\n" + rows)
    return "table:table.csv"


def test_it_writes_the_predicted_front_and_shows_it_with_its_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = supernet.load(folder)
    assert run(command("--accuracy", accuracies(), "--plot", "front.png")) == 0
    found = supernet.load(folder)
    printed = capsys.readouterr()
    predicted = found.metadata["predicted"]
    assert (found.hash, found.statistics.keys()) == (before.hash, before.statistics.keys())
    assert list(predicted["subnets"]) == list(found.front)
    assert found.front[-1] == NETWORK.space.largest
    latencies = [row["latency_ms"] for row in predicted["subnets"].values()]
    assert latencies == sorted(latencies)
    assert predicted["subnets"][found.front[-1]]["accuracy"] == pytest.approx(0.5 + (len(SUBNETS) - 1) / 100)
    assert (predicted["device"], predicted["threads"], predicted["batch_size"]) == ("cpu", 1, 1)
    assert predicted["accuracy_from"] == "the table table.csv"
    assert predicted["scale"] > 0
    assert all(subnet in printed.out for subnet in (found.front[0], found.front[-1]))
    assert f"All {len(SUBNETS)} subnets of the space were judged" in " ".join(printed.out.split())
    assert "whole subnets are off by" in printed.err
    assert "superserve calibrate tiny --subnets pareto" in printed.err
    assert Path("front.png").read_bytes().startswith(b"\x89PNG")


def test_a_latency_file_is_written_and_then_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command("--accuracy", "macs", "--latency", "layers.parquet")) == 0
    first = Path("layers.parquet").read_bytes()
    assert run(command("--accuracy", "macs", "--latency", "layers.parquet")) == 0
    assert Path("layers.parquet").read_bytes() == first
    capsys.readouterr()
    assert run([*command("--accuracy", "macs", "--latency", "layers.parquet"), "--batch-size", "2"]) == 2
    assert "layers.parquet was measured with batch_size 1, not 2" in capsys.readouterr().err
    with pytest.raises(Exception, match="batch_size 1, not 3"):
        tables.load(Path("layers.parquet"), {"batch_size": 3})


def test_a_stand_in_for_accuracy_is_called_one_everywhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command("--accuracy", "macs", "--size", "3", "--plot", "front.svg")) == 0
    printed = capsys.readouterr()
    assert "MACs (stand-in)" in printed.out
    assert "no accuracy is known" in printed.err
    assert "stand-in for accuracy" in Path("front.svg").read_text()
    predicted = supernet.load(folder).metadata["predicted"]
    assert "stand-in" in predicted["accuracy_from"]
    assert {row["accuracy"] for row in predicted["subnets"].values()} == {None}
    assert run(command("--accuracy", "macs", "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["stand_in"] is True
    assert shown["front"][0].keys() == {"subnet", "latency_ms", "stand_in"}


def test_subnets_are_evaluated_and_json_says_how_far_to_trust_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command("--accuracy", "fit:12", "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["errors"]["accuracy"].keys() == {"subnets", "mean_absolute_error", "rank_correlation"}
    assert shown["errors"]["latency"].keys() == {"subnets", "median", "p90", "within_5_percent"}
    assert shown["errors"]["layers_interpolated"] == 0
    assert shown["whole_space"] is True
    assert [row["subnet"] for row in shown["front"]] == list(supernet.load(folder).front)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "nothing says how accurate"),
        (["--accuracy", "magic"], "--accuracy is 'magic'"),
        (["--accuracy", "table:none.csv"], "there is no none.csv"),
        (["--accuracy", "predictor:none.pth"], "there is no none.pth"),
        (["--accuracy", "fit:12", "--data", "npz:none.npz"], "there is no none.npz"),
        (["--accuracy", "macs", "--data", "glyphs"], "--data is for"),
        (["--accuracy", "macs", "--device", "abacus"], "no device 'abacus'"),
        (["--accuracy", "macs", "--plot", "front.doc"], "not a picture"),
        (["--accuracy", "macs", "--latency", "layers.csv"], "would hold Parquet"),
        (["--accuracy", "macs", "--size", "1"], "--size"),
        (["--accuracy", "macs", "--batch-size", "0"], "--batch-size"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    folder: Path, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "supernet.json").read_bytes()
    assert run(command(*options)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert complaint in said.err
    assert len([line for line in said.err.splitlines() if "error:" in line]) == 1
    assert (folder / "supernet.json").read_bytes() == before


def test_a_folder_that_holds_no_supernet_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "nothing", "--accuracy", "macs"]) == 2
    assert "there is no nothing" in capsys.readouterr().err
