import hashlib
import json
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch

from superserve_cli import supernet, training
from superserve_cli.app import run
from superserve_cli.commands.build import build
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from superserve_cli.training.folder import claim
from tests.supernet.ofa_nets import checkpoint

IMAGES = np.random.default_rng(0).standard_normal((60, 1, 8, 8)).astype(np.float32)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    np.savez("tiny.npz", x=IMAGES, y=np.arange(60) % 3)
    return ["build", "--task", "npz:tiny.npz", "--steps", "2"]


def test_build_writes_a_supernet_that_loads_and_shows_its_front(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*tiny, "--out", "net"]) == 0
    built = supernet.load(Path("net"))
    printed = capsys.readouterr().out
    assert all(subnet in printed for subnet in built.front)
    assert "standard error" in printed
    assert "net/" in printed
    assert sorted(path.name for path in Path("net").iterdir()) == ["README.md", "supernet.json", "weights.safetensors"]


def test_the_front_as_json_is_all_that_stdout_holds(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*tiny, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    built = supernet.load(Path("supernet"))
    assert [row["subnet"] for row in printed["front"]] == list(built.front)
    assert printed["front"][0].keys() == {"subnet", "macs", "params", "validation", "test"}
    assert printed["out"] == "supernet"


def test_a_folder_that_is_not_empty_is_refused_without_overwrite(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("net").mkdir()
    Path("net/letter.txt").write_text("dear")
    assert run([*tiny, "--out", "net"]) == 2
    assert "net holds something already" in capsys.readouterr().err
    assert run([*tiny, "--out", "net", "--overwrite"]) == 0
    assert Path("net/letter.txt").exists()


def test_the_default_options_are_the_default_recipe() -> None:
    given = {name: option.default for name, option in signature(build).parameters.items()}
    recipe = training.Recipe().to_json()
    assert {name: given[name] for name in ("family", "task", "seed", "device")}.items() <= recipe.items()
    assert given["steps"] is None


def interrupt(done: int, total: int, note: str) -> None:
    if done == 3:
        raise KeyboardInterrupt


def test_the_same_command_goes_on_from_the_checkpoint_and_then_removes_it(tiny: list[str]) -> None:
    recipe = training.Recipe(task="npz:tiny.npz", steps=2)
    with pytest.raises(KeyboardInterrupt):
        training.build(recipe, claim(Path("net"), recipe, overwrite=False), interrupt)
    assert [path.name for path in Path("net").iterdir()] == ["checkpoint.safetensors"]
    assert run([*tiny, "--out", "net"]) == 0
    assert sorted(path.name for path in Path("net").iterdir()) == ["README.md", "supernet.json", "weights.safetensors"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--family", "vit"], "no family 'vit'"),
        (["--task", "cats"], "no task 'cats'"),
        (["--task", "npz:none.npz"], "there is no none.npz"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--device", "cuda:99"], "there is no device cuda:99"),
        (["--steps", "0"], "--steps"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    tiny: list[str], options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*tiny, *options, "--out", "net"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert complaint in said.err
    assert len([line for line in said.err.splitlines() if "error:" in line]) == 1
    assert not Path("net").exists()


def test_mistakes_are_found_before_a_bar_is_drawn(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*tiny, "--family", "vit"]) == 2
    assert "building" not in capsys.readouterr().err


def test_a_name_is_kept(tiny: list[str]) -> None:
    assert run([*tiny, "--name", "signs", "--out", "net"]) == 0
    assert supernet.load(Path("net")).name == "signs"


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    torch.save({"state_dict": checkpoint(OfaMbv3(classes=10))}, "ofa.pt")
    return ["build", "--from", "ofa.pt", "--family", "ofa-mbv3"]


def test_a_checkpoint_becomes_a_folder_that_says_where_it_comes_from(importing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*importing, "--out", "net", "--name", "phone"]) == 0
    net = supernet.load(Path("net"))
    assert net.name == "phone"
    assert net.metadata["origin"]["sha256"] == hashlib.sha256(Path("ofa.pt").read_bytes()).hexdigest()
    assert "ofa.pt" in Path("net/README.md").read_text()
    said = capsys.readouterr()
    assert "87,034,621,970,289,943,404 in the space" in said.out
    assert net.space.largest in said.out
    assert "superserve calibrate net" in said.err
    assert max(map(len, said.out.splitlines())) <= 80


def test_what_was_imported_as_json_is_all_that_stdout_holds(importing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*importing, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.keys() == {"out", "name", "origin", "family", "parameters", "subnets", "calibrated"}
    assert said["calibrated"] == [supernet.load(Path("supernet")).space.largest]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--steps", "3"], "--steps has no meaning"),
        (["--task", "glyphs", "--seed", "0"], "--task, --seed have no meaning"),
        (["--family", "conv"], "no importer for --family 'conv'"),
        (["--family", "ofa-resnet50"], "it looks like a checkpoint of --family ofa-mbv3"),
        (["--from", "none.pt"], "there is no none.pt"),
        (["--from", "."], ". is a folder"),
        (["--out", "ofa.pt"], "cannot use ofa.pt"),
        (["--name", ""], "--name is empty"),
    ],
)
def test_a_mistake_in_an_import_is_one_line_and_leaves_nothing_behind(
    importing: list[str], options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*importing, "--out", "net", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert complaint in said.err
    assert len([line for line in said.err.splitlines() if "error:" in line]) == 1
    assert not Path("net").exists()


def test_an_import_replaces_another_supernet_only_when_told_to(importing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*importing, "--out", "net"]) == 0
    assert run([*importing, "--out", "net", "--name", "other"]) == 2
    assert "net holds something already" in capsys.readouterr().err
    assert run([*importing, "--out", "net", "--name", "other", "--overwrite"]) == 0
    assert supernet.load(Path("net")).name == "other"
    assert sorted(path.name for path in Path("net").iterdir()) == ["README.md", "supernet.json", "weights.safetensors"]


def test_a_space_too_large_to_evaluate_is_not_trained(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*tiny, "--family", "ofa-resnet50", "--out", "net"]) == 2
    assert "family ofa-resnet50 has 2.46e+12 subnets" in capsys.readouterr().err
    assert not Path("net").exists()
