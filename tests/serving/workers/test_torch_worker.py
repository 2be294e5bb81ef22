import numpy as np
import pytest
import torch

from superserve_cli import supernet, tasks
from superserve_cli.core.nouns import Worker
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.serving.workers.torch_worker import TorchWorker

NET = supernet.load()
TEST = tasks.load("glyphs").test
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture
def worker() -> Worker:
    return TorchWorker(NET, threads=1)


def test_a_worker_answers_as_the_supernet_does(worker: Worker) -> None:
    for subnet in (NET.front[0], NET.front[-1]):
        logits = worker.infer(subnet, TEST.x[:5])
        assert logits.dtype == np.float32
        assert logits.shape == (5, NET.architecture.classes)
        with torch.inference_mode():
            assert np.array_equal(logits, NET.forward(torch.from_numpy(TEST.x[:5]), subnet).numpy())


def test_a_batch_may_be_read_only_strided_or_of_another_type(worker: Worker) -> None:
    expected = worker.infer(NET.front[0], TEST.x[:4])
    locked = TEST.x[:4].copy()
    locked.setflags(write=False)
    for batch in (locked, TEST.x[:8].repeat(2, axis=0)[0:8:2], TEST.x[:4].astype(np.float64)):
        assert np.array_equal(worker.infer(NET.front[0], batch), expected)


def test_inference_leaves_the_batch_as_it_was(worker: Worker) -> None:
    batch = TEST.x[:3].copy()
    worker.infer(NET.front[0], batch)
    assert np.array_equal(batch, TEST.x[:3])


def test_an_unknown_subnet_is_refused(worker: Worker) -> None:
    with pytest.raises(Unknown, match="no subnet 'd999-w1-e1'"):
        worker.infer("d999-w1-e1", TEST.x[:1])


def test_warming_up_builds_the_programs(worker: Worker) -> None:
    worker.warm_up(NET.front[:2], [1, 2])
    assert isinstance(worker, TorchWorker)
    assert worker.supernet.program(NET.front[0]) is worker.supernet.program(NET.front[0])


def test_a_worker_says_where_its_latencies_come_from(worker: Worker) -> None:
    said = worker.describe()
    assert said.keys() == {"device", "device_name", "threads", "dtype", "backend", "pack_mb", "versions"}
    assert (said["device"], said["threads"], said["dtype"], said["backend"]) == ("cpu", 1, "float32", "torch")
    assert said["device_name"]


def test_a_worker_needs_a_device_that_is_there_and_a_thread() -> None:
    with pytest.raises(BadOption, match="cuda:99"):
        TorchWorker(NET, device="cuda:99")
    with pytest.raises(BadOption, match="0 threads"):
        TorchWorker(NET, threads=0)


@CUDA
@pytest.mark.gpu
def test_a_gpu_answers_as_the_cpu_does() -> None:
    on_gpu, on_cpu = TorchWorker(NET, device="cuda"), TorchWorker(NET, threads=1)
    for subnet in NET.front:
        logits, expected = on_gpu.infer(subnet, TEST.x[:200]), on_cpu.infer(subnet, TEST.x[:200])
        assert np.abs(logits - expected).max() < 0.05
        assert (logits.argmax(1) == expected.argmax(1)).mean() > 0.98
    assert on_gpu.describe()["device"] == "cuda:0"
