import json
from pathlib import Path

import pytest
from safetensors import safe_open

from superserve_cli import supernet
from superserve_cli.app import run
from superserve_cli.supernet.onnx import described

NET = supernet.load()
SMALLEST = NET.space.smallest


@pytest.fixture(autouse=True)
def at_eighty_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def test_one_subnet_goes_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--out", "models/one.onnx", "--subnet", SMALLEST]) == 0
    assert [control.id for control in described.read(Path("models/one.onnx")).subnets] == [SMALLEST]
    printed = capsys.readouterr().out
    assert "one.onnx" in printed
    assert SMALLEST in printed


def test_several_go_to_a_folder_one_file_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--out", "models", "--subnets", "3", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file["path"] for file in files] == [f"models/{file['subnets'][0]}.onnx" for file in files]
    assert {path.name for path in Path("models").iterdir()} == {Path(file["path"]).name for file in files}
    assert len(files) == 3
    assert all(file["difference"] <= 1e-4 and file["bytes"] == Path(file["path"]).stat().st_size for file in files)


def test_the_whole_supernet_goes_to_one_file_with_its_front(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--whole", "--out", "whole.onnx"]) == 0
    held = described.read(Path("whole.onnx"))
    assert held.form == "supernet"
    assert [control.id for control in held.subnets] == list(NET.front)
    assert "10" in capsys.readouterr().out


def test_named_subnets_of_a_folder_go_to_one_file() -> None:
    supernet.save(Path("net"), NET)
    assert run(["export", "net", "--whole", "--subnets", f"{NET.space.largest},{SMALLEST}", "--out", "whole.onnx", "--no-verify"]) == 0
    assert [control.id for control in described.read(Path("whole.onnx")).subnets] == [NET.space.largest, SMALLEST]


def test_a_subnet_that_was_not_compared_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--out", "one.onnx", "--subnet", SMALLEST, "--no-verify"]) == 0
    assert "not compared" in capsys.readouterr().out


def test_the_tensors_of_a_subnet_go_to_a_safetensors_file() -> None:
    assert run(["export", "--out", "one.safetensors", "--subnet", SMALLEST, "--format", "safetensors"]) == 0
    with safe_open("one.safetensors", "pt") as file:
        assert "head.weight" in file.keys()  # noqa: SIM118  # it is no dictionary


def test_files_that_exist_are_kept_unless_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("models").mkdir()
    Path(f"models/{SMALLEST}.onnx").write_text("dear")
    assert run(["export", "--out", "models", "--subnets", SMALLEST]) == 2
    assert f"{SMALLEST}.onnx exists" in capsys.readouterr().err
    assert Path(f"models/{SMALLEST}.onnx").read_text() == "dear"
    assert run(["export", "--out", "models", "--subnets", SMALLEST, "--overwrite"]) == 0
    assert described.read(Path(f"models/{SMALLEST}.onnx")).form == "subnet"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--out", "a.onnx"], "no subnet to export"),
        (["--out", "a.onnx", "--subnet", "d111-w0.7-e0.5"], "width is 'w0.7'"),
        (["--out", "a", "--subnets", "d111-w0.6-e0.5,d119-w0.6-e0.5"], "depth is 'd119'"),
        (["--out", "a", "--subnets", "11"], "choose a number from 1 to 10"),
        (["--out", "a.onnx", "--subnet", SMALLEST, "--whole"], "--subnet together with --whole"),
        (["--out", "a", "--subnet", SMALLEST, "--subnets", "all"], "--subnet together with --subnets"),
        (["--out", "a.onnx", "--subnet", SMALLEST, "--opset", "9"], "--opset is 9"),
        (["--out", "a.bin", "--subnet", SMALLEST], "a.bin would hold onnx"),
        (["--out", "a.onnx", "--subnet", SMALLEST, "--format", "torch"], "no format 'torch'"),
        (["--out", "a.safetensors", "--whole", "--format", "safetensors"], "--whole with --format safetensors"),
        (["nowhere", "--out", "a.onnx", "--whole"], "there is no nowhere"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_leaves_nothing(options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", *options]) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert said.count("\n") == 0
    assert not any(Path().iterdir())
