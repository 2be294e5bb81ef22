import json
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from superserve_cli import supernet, training
from superserve_cli.app import run
from superserve_cli.commands.build import build
from superserve_cli.training.folder import claim

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
    assert sorted(path.name for path in Path("net").iterdir()) == ["supernet.json", "weights.safetensors"]


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
    assert {name: given[name] for name in ("family", "task", "seed", "steps", "device")}.items() <= recipe.items()


def interrupt(done: int, total: int, note: str) -> None:
    if done == 3:
        raise KeyboardInterrupt


def test_the_same_command_goes_on_from_the_checkpoint_and_then_removes_it(tiny: list[str]) -> None:
    recipe = training.Recipe(task="npz:tiny.npz", steps=2)
    with pytest.raises(KeyboardInterrupt):
        training.build(recipe, claim(Path("net"), recipe, overwrite=False), interrupt)
    assert [path.name for path in Path("net").iterdir()] == ["checkpoint.safetensors"]
    assert run([*tiny, "--out", "net"]) == 0
    assert sorted(path.name for path in Path("net").iterdir()) == ["supernet.json", "weights.safetensors"]


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
