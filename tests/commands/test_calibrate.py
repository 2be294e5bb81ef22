import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superserve_cli import supernet
from superserve_cli.app import run
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.families import parameters
from superserve_cli.training import part

NET = supernet.load()
BARE = SuperNet(NET.family, NET.architecture, NET.weights, {}, {"name": "bare", "task": NET.metadata["task"], "front": list(NET.front)})
Capture = pytest.CaptureFixture[str]
FEW = ["--images", "40", "--batch", "20"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    supernet.save(Path("net"), BARE)
    return "net"


def calibrated(capsys: Capture, *options: str) -> dict[str, Any]:
    assert run(["calibrate", "net", *FEW, "--json", *options]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_front_is_calibrated_on_the_supernets_own_task(folder: str, capsys: Capture) -> None:
    before = supernet.load(Path(folder)).hash
    found = calibrated(capsys)
    after = supernet.load(Path(folder))
    assert set(after.statistics) == set(NET.front)
    assert found["hash"] == after.hash != before
    assert found["statistics"].keys() == {"data", "images", "batch", "seed", "created", "subnets"}
    assert found["statistics"]["data"] == "glyphs"
    assert not (Path(folder) / part.NAME).exists()


def test_what_is_calibrated_already_is_skipped_unless_asked_for_again(folder: str, capsys: Capture) -> None:
    one, other = NET.front[:2]
    first = calibrated(capsys, "--subnets", one)
    second = calibrated(capsys, "--subnets", f"{one},{other}", "--seed", "1")
    assert (second["calibrated"], second["skipped"], second["with_statistics"]) == (1, 1, 2)
    nothing = calibrated(capsys, "--subnets", one)
    assert (nothing["calibrated"], nothing["hash"]) == (0, second["hash"])
    again = calibrated(capsys, "--subnets", one, "--again", "--data", "noise")
    assert again["calibrated"] == 1
    assert len({first["hash"], second["hash"], again["hash"]}) == 3
    assert [entry["seed"] for entry in again["statistics"]["earlier"]] == [1]


def test_noise_says_that_it_is_synthetic(folder: str, capsys: Capture) -> None:
    assert run(["calibrate", folder, *FEW, "--data", "noise", "--subnets", "largest"]) == 0
    said = capsys.readouterr()
    assert "noise is synthetic" in said.err
    assert "40 images of noise" in said.out
    assert run(["inspect", folder]) == 0
    said = capsys.readouterr()
    assert "synthetic: good for" in said.out
    assert "9 of the 10 subnets on the front have no SubnetNorm statistics" in said.err
    assert "MISSING" in said.out


def test_what_an_interrupted_run_finished_is_used(folder: str, capsys: Capture) -> None:
    calibrated(capsys, "--subnets", NET.front[0])
    once = supernet.load(Path(folder))
    supernet.save(Path(folder), BARE)
    kept = {"SuperNet": BARE.hash, "data": "noise 0", "batch size": 20}
    part.add(Path(folder) / part.NAME, kept, NET.front[0], once.statistics[NET.front[0]])
    assert run(["calibrate", folder, *FEW, "--data", "noise", "--subnets", ",".join(NET.front[:2])]) == 0
    assert "going on after 1 of 2 subnets" in capsys.readouterr().err
    again = supernet.load(Path(folder))
    assert (again.statistics[NET.front[0]].mean == once.statistics[NET.front[0]].mean).all()


def test_what_an_interrupted_run_of_something_else_left_is_not_used(folder: str, capsys: Capture) -> None:
    part.add(Path(folder) / part.NAME, {"SuperNet": "another"}, NET.front[0], NET.statistics[NET.front[0]])
    assert run(["calibrate", folder, *FEW, "--subnets", "largest"]) == 0
    assert "starting anew" in capsys.readouterr().err
    assert tuple(supernet.load(Path(folder)).statistics) == (NET.space.largest,)


def test_a_check_shows_what_own_statistics_are_worth_and_changes_nothing(folder: str, capsys: Capture) -> None:
    np.savez("few.npz", x=np.random.default_rng(0).standard_normal((30, 1, 16, 16)).astype(np.float32), y=np.arange(30) % 20)
    calibrated(capsys, "--subnets", "2")
    before = supernet.load(Path(folder)).hash
    found = calibrated(capsys, "--check", "--subnets", "2", "--data", "npz:few.npz")
    assert [row["subnet"] for row in found["subnets"]] == [NET.front[0], NET.front[-1]]
    assert all(row["lost"] == row["own"] - row["shared"] for row in found["subnets"])
    assert run(["calibrate", folder, "--check", "--subnets", "2", "--data", "npz:few.npz"]) == 0
    assert "points lost" in capsys.readouterr().out
    assert supernet.load(Path(folder)).hash == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "which SuperNet?"),
        (["none"], "there is no none"),
        (["net", "--subnets", "some"], "--subnets is 'some'"),
        (["net", "--subnets", "d999-w1-e0.5"], "depth is 'd999'"),
        (["net", "--data", "cats"], "no task 'cats'"),
        (["net", "--data", "npz:none.npz"], "there is no none.npz"),
        (["net", "--data", "digits"], "holds float32 of 1x8x8"),
        (["net", "--check", "--data", "digits"], "holds float32 of 1x8x8"),
        (["net", "--check"], "is not calibrated"),
        (["net", "--device", "tpu"], "no device 'tpu'"),
        (["net", "--images", "0"], "--images"),
        (["net", "--batch", "0"], "--batch"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_the_supernet_as_it_was(folder: str, options: list[str], complaint: str, capsys: Capture) -> None:
    assert run(["calibrate", *options]) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert len([line for line in said.err.splitlines() if "error:" in line]) == 1
    assert said.out == ""
    assert supernet.load(Path(folder)).hash == BARE.hash


def test_a_supernet_without_subnetnorm_needs_no_statistics(folder: str, capsys: Capture) -> None:
    plain = supernet.family("transformer")(shape=(1, 8, 8), classes=3)
    weights = {name: torch.zeros(shape) for name, shape in parameters(plain).items()}
    supernet.save(Path("plain"), SuperNet("transformer", plain, weights, {}))
    for more in ([], ["--check"]):
        assert run(["calibrate", "plain", "--data", "noise", "--subnets", "largest", *more]) == 2
    assert "no SubnetNorm layers" in capsys.readouterr().err
    assert run(["inspect", "plain"]) == 0
    assert "none needed: no SubnetNorm layers" in capsys.readouterr().out
