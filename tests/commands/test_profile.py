import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from superserve_cli import profiles, supernet
from superserve_cli.app import run
from superserve_cli.profiles import part
from superserve_cli.supernet import Statistics, SuperNet
from superserve_cli.supernet.conv import ConvNet
from superserve_cli.supernet.onnx import export_whole
from superserve_cli.supernet.plan import norms, slices
from tests.serving.nets import SOME_IMAGES, images, predicted, words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A SuperNet of two untrained subnets, and the task that it did not learn."""
    rng = np.random.Generator(np.random.PCG64(0))
    data = tmp_path / "task.npz"
    np.savez(data, x=rng.normal(size=(60, 1, 8, 8)).astype(np.float32), y=np.arange(60) % 3)
    network = ConvNet((1, 8, 8), 3, widths=(8, 8, 8), depth=(1,), width=(1.0,), expand=(0.5, 1.0))
    space = network.space
    weights = {s.parameter: torch.ones(s.shape) for s in slices(network.plan(space.parse(space.largest)))}
    channels = {s: sum(norm.channels for norm in norms(network.plan(space.parse(s)))) for s in space.enumerate()}
    statistics = {s: Statistics(torch.zeros(n), torch.ones(n)) for s, n in channels.items()}
    metadata = {"name": "tiny", "task": {"name": f"npz:{data}", "seed": 0}, "front": list(space.enumerate())}
    supernet.save(tmp_path / "tiny", SuperNet("conv", network, weights, statistics, metadata))
    return tmp_path / "tiny"


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return ["profile", str(folder), "--batch-sizes", "1,2", "--rounds", "2", "--threads", "1", "--out", str(out), *more]


def test_it_writes_a_profile_and_a_picture_and_shows_the_front(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "p.parquet"
    assert run(command(folder, out)) == 0
    printed = capsys.readouterr()
    measured = profiles.load(out)
    assert len(measured.subnets) == 2
    assert measured.metadata["supernet"] == "tiny"
    assert measured.metadata["threads"] == 1
    assert measured.metadata["rounds"] == 2
    assert measured.metadata["supernet_hash"] == supernet.load(folder).hash
    assert "The Pareto front of tiny" in printed.out
    assert "odd and even rounds disagree" in printed.err
    assert (folder / "p.svg").read_text().startswith("<?xml")
    assert not part.path_of(out).exists()


def test_json_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(folder, folder / "p.parquet", "--subnets", "1", "--json", "--plot", str(folder / "front.html"))) == 0
    printed = json.loads(capsys.readouterr().out)
    measured = profiles.load(folder / "p.parquet")
    assert printed["subnets"] == 1
    assert printed["hash"] == measured.metadata["hash"]
    assert printed["front"][0]["plan_ns"] == {"1": measured.plan[0][0], "2": measured.plan[0][1]}
    assert printed["disagreement"].keys() == {"median", "p90", "good"}
    assert (folder / "front.html").exists()


def test_after_ctrl_c_the_same_command_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "p.parquet"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as pressed:
        pressed.setattr("superserve_cli.profiles.accuracy.accuracies", interrupt)  # nobody can press Ctrl-C in a test at the right time
        assert run(command(folder, out)) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert not out.exists()
    assert run([*command(folder, out), "--rounds", "3"]) == 0
    assert "going on after 2 rounds" in capsys.readouterr().err
    assert profiles.load(out).metadata["rounds"] == 3


def test_rounds_of_another_command_are_left_out_with_a_note(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "p.parquet"
    part.save(part.path_of(out), {"SuperNet": "another"}, np.ones((1, 2, 2), np.int64))
    assert run(command(folder, out)) == 0
    assert "starting anew" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--batch-sizes", "0"], "--batch-sizes"),
        (["--subnets", "some"], "--subnets"),
        (["--rounds", "1"], "--rounds"),
        (["--rounds", "few"], "--rounds"),
        (["--subnets", "3"], "--subnets"),
        (["--task", "chess"], "no task 'chess'"),
        (["--task", "npz:missing.npz"], "there is no missing.npz"),
        (["--dtype", "int8"], "no dtype 'int8'"),
        (["--pack-mb", "-1"], "--pack-mb"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--threads", "0"], "--threads"),
        (["--seed", "-1"], "--seed"),
        (["--plot", "front.doc"], "not a picture"),
    ],
)
def test_a_mistake_is_one_line_exit_code_2_and_leaves_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    out = folder / "p.parquet"
    assert run([*command(folder, out), *arguments]) == 2
    printed = capsys.readouterr().err
    assert complaint in printed
    assert len(printed.strip().splitlines()) == 1
    assert not out.exists()


def test_files_that_are_there_are_kept_and_a_missing_supernet_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "p.parquet"
    out.write_text("precious")
    assert run(command(folder, out)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert run(command(folder / "none", folder / "q.parquet")) == 2
    assert "there is no" in capsys.readouterr().err


def saved(folder: Path, net: SuperNet) -> Path:
    folder.mkdir()
    supernet.save(folder, net)
    return folder


def kinds(path: Path) -> set[str]:
    return set(pq.read_table(path)["accuracy_kind"].to_pylist())


def test_a_supernet_without_a_task_is_said_to_be_judged_by_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p.parquet"
    assert run(command(saved(tmp_path / "net", words()), out)) == 0
    printed = capsys.readouterr()
    assert "words names no task" in printed.err
    assert "agreement" in printed.out
    assert kinds(out) == {"agreement"}
    measured = profiles.load(out)
    assert set(measured.subnets) == {"d1", "d2", "d3"}
    assert measured.accuracy("d3") == 1


def test_predicted_and_measured_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = saved(tmp_path / "net", images(predicted=predicted(0.3, 1.0, 2.0, 3.0, batch_size=2)))
    assert run(command(folder, tmp_path / "p.parquet", "--json")) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["accuracy_kind"] == "predicted"
    assert (said["prediction"]["cells"], said["prediction"]["batch_size"], said["prediction"]["accuracy"]) == (3, 2, None)
    assert "the predicted latencies of 3 subnets at batch size 2, times" in printed.err
    assert "points" not in printed.err
    assert profiles.load(tmp_path / "p.parquet").metadata["prediction"] == said["prediction"]
    data = tmp_path / "own.npz"
    np.savez(data, x=np.zeros((30, 1, 8, 8), np.float32), y=np.arange(30) % 3)
    assert run(command(folder, tmp_path / "q.parquet", "--task", f"npz:{data}", "--subnets", ",".join(SOME_IMAGES[:2]))) == 0
    assert "predicted accuracies by" in capsys.readouterr().err
    assert kinds(tmp_path / "q.parquet") == {"measured"}
    assert set(profiles.load(tmp_path / "q.parquet").subnets) == set(SOME_IMAGES[:2])
    assert run([*command(folder, tmp_path / "r.parquet"), "--batch-sizes", "1"]) == 0
    assert "a search predicted latencies at batch size 2, which --batch-sizes leaves out" in capsys.readouterr().err


def test_an_onnx_file_is_measured_with_onnx_runtime(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = supernet.load(folder)
    export_whole(net, net.front, tmp_path / "whole.onnx", verify=False)
    assert run(command(tmp_path / "whole.onnx", tmp_path / "onnx.parquet")) == 0
    assert run(command(folder, tmp_path / "torch.parquet")) == 0
    one, other = (profiles.load(tmp_path / f"{name}.parquet") for name in ("onnx", "torch"))
    assert (one.metadata["backend"], other.metadata["backend"]) == ("onnxruntime", "torch")
    assert one.metadata["dtype"] == other.metadata["dtype"] == "float32"
    assert one.metadata["supernet_hash"] == other.metadata["supernet_hash"]
    assert {s: one.accuracy(s) for s in one.subnets} == {s: other.accuracy(s) for s in other.subnets}
    assert run(command(tmp_path / "whole.onnx", tmp_path / "x.parquet", "--dtype", "bfloat16")) == 2
    assert "--dtype does not go with ONNX files" in capsys.readouterr().err


def test_shorter_numbers_are_named_in_the_profile(folder: Path) -> None:
    assert run(command(folder, folder / "p.parquet", "--dtype", "bfloat16", "--pack-mb", "0")) == 0
    metadata = profiles.load(folder / "p.parquet").metadata
    assert (metadata["dtype"], metadata["pack_mb"]) == ("bfloat16", 0)


def test_a_subnet_that_cannot_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = saved(tmp_path / "net", images())
    for subnet, says in (("d112-w1-e0.5", "is not calibrated"), ("d119-w1-e0.5", "depth is 'd119'"), ("d111", "does not have 3 parts")):
        assert run(command(folder, tmp_path / "p.parquet", "--subnets", f"{SOME_IMAGES[0]},{subnet}")) == 2
        printed = capsys.readouterr().err
        assert says in printed
        assert len(printed.strip().splitlines()) == 1
