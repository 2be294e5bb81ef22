import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from superserve_cli import supernet
from superserve_cli.errors import BadFile, BadOption, Unknown
from superserve_cli.serving.profiling import inputs
from superserve_cli.serving.workers.actuation import actuation_ns
from superserve_cli.serving.workers.onnx_worker import OnnxWorker
from superserve_cli.serving.workers.resident import hold
from superserve_cli.serving.workers.torch_worker import TorchWorker
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.onnx import export_subnet, export_whole
from tests.serving.nets import SOME_IMAGES, images, pairs, words

NET, WORDS = images(), words()
X = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "whole.onnx"
    export_whole(NET, SOME_IMAGES, path, verify=False)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("static")
    for subnet in SOME_IMAGES:
        export_subnet(NET, subnet, path / f"{subnet}.onnx", verify=False)
    return path


@pytest.mark.parametrize("form", ["whole", "folder"])
def test_exported_files_answer_as_the_supernet_does(form: str, request: pytest.FixtureRequest) -> None:
    worker, torch = OnnxWorker(request.getfixturevalue(form), threads=1), TorchWorker(NET, threads=1)
    assert set(worker.subnets) == set(SOME_IMAGES)
    for warm in (False, True):
        for subnet in SOME_IMAGES:
            logits, expected = worker.infer(subnet, X), torch.infer(subnet, X)
            assert logits.dtype == np.float32
            assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
        if not warm:
            worker.warm_up(SOME_IMAGES, [1, 5])


def test_the_session_is_chosen_within_the_batch(whole: Path) -> None:
    worker = OnnxWorker(whole, threads=1)
    worker.warm_up(SOME_IMAGES, [1])
    began_ns = time.monotonic_ns()
    worker.infer(SOME_IMAGES[0], X[:1])
    assert 0 <= actuation_ns(worker, began_ns) < time.monotonic_ns() - began_ns


@pytest.mark.parametrize("net", [words(), pairs()], ids=["words", "pairs"])
def test_words_stay_whole_numbers(tmp_path: Path, net: SuperNet) -> None:
    subnets = [*net.space.enumerate()]
    export_whole(net, subnets, tmp_path / "words.onnx", verify=False)
    supernet.save(tmp_path, net)
    held, exported = hold(tmp_path, threads=1), hold(tmp_path / "words.onnx", threads=1)
    assert exported.model == held.model
    x = inputs(held.model, 4, seed=0)
    for one in (held, exported):
        one.worker.warm_up(subnets, [2])
    for subnet in subnets:
        np.testing.assert_allclose(exported.worker.infer(subnet, x), held.worker.infer(subnet, x), rtol=1e-4, atol=1e-5)


def test_a_batch_may_be_strided_or_of_another_type(whole: Path) -> None:
    worker = OnnxWorker(whole, threads=1)
    expected = worker.infer(SOME_IMAGES[0], X)
    for batch in (X.astype(np.float64), X.repeat(2, axis=0)[::2]):
        assert np.array_equal(worker.infer(SOME_IMAGES[0], batch), expected)


def test_one_file_of_a_folder_can_be_served_alone(folder: Path) -> None:
    worker = OnnxWorker(folder / f"{SOME_IMAGES[1]}.onnx", threads=1)
    assert list(worker.subnets) == [SOME_IMAGES[1]]
    with pytest.raises(Unknown, match=f"no subnet '{SOME_IMAGES[0]}'"):
        worker.warm_up([SOME_IMAGES[0]], [1])


def test_a_worker_says_where_its_latencies_come_from(whole: Path, folder: Path) -> None:
    said = OnnxWorker(whole, threads=1).describe()
    assert (said["device"], said["threads"], said["dtype"], said["backend"], said["form"]) == (
        "cpu",
        1,
        "float32",
        "onnxruntime",
        "supernet",
    )
    assert said["versions"]["onnxruntime"] == onnxruntime.__version__
    assert OnnxWorker(folder).describe()["form"] == "subnet"


def test_a_device_that_onnx_runtime_has_not_is_refused(whole: Path) -> None:
    with pytest.raises(Unknown, match="no device 'abacus'"):
        OnnxWorker(whole, device="abacus")
    with pytest.raises(BadOption, match="0 threads"):
        OnnxWorker(whole, threads=0)
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(BadOption, match="ONNX Runtime cannot use cuda:1"):
            OnnxWorker(whole, device="cuda:1")


def test_files_that_do_not_belong_together_are_refused(whole: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.onnx").write_bytes(whole.read_bytes())
    one = folder / f"{SOME_IMAGES[0]}.onnx"
    (tmp_path / one.name).write_bytes(one.read_bytes())
    with pytest.raises(BadFile, match=f"both hold subnet {SOME_IMAGES[0]}"):
        OnnxWorker(tmp_path)
    (tmp_path / one.name).unlink()
    export_subnet(WORDS, "d1", tmp_path / "words.onnx", verify=False)
    with pytest.raises(BadFile, match="are of different SuperNets"):
        OnnxWorker(tmp_path)


def test_a_file_that_onnx_runtime_cannot_open_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match=r"holds no \.onnx file"):
        OnnxWorker(tmp_path / "empty")
    export_subnet(NET, SOME_IMAGES[0], tmp_path / "beside.onnx", verify=False, largest_inline=0)
    (tmp_path / "beside.onnx.data").unlink()
    with pytest.raises(BadFile, match="ONNX Runtime cannot open") as refused:
        OnnxWorker(tmp_path / "beside.onnx").warm_up([SOME_IMAGES[0]], [1])
    assert "\n" not in str(refused.value)
