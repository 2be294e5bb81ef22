import time
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from superserve_cli import supernet, tasks
from superserve_cli.core.nouns import Worker
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.serving.workers.actuation import actuation_ns
from superserve_cli.serving.workers.torch_worker import TorchWorker
from superserve_cli.supernet.programs import HOT
from tests.serving.nets import images, words

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


def test_the_program_is_chosen_within_the_batch() -> None:
    worker = TorchWorker(NET, threads=1)
    worker.warm_up(NET.front[:1], [1])
    began_ns = time.monotonic_ns()
    worker.infer(NET.front[0], TEST.x[:1])
    assert 0 <= actuation_ns(worker, began_ns) < time.monotonic_ns() - began_ns


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
    with pytest.raises(BadOption, match="100000 threads"):
        TorchWorker(NET, threads=100_000)
    with pytest.raises(BadOption, match="-1 MB"):
        TorchWorker(NET, pack_mb=-1)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("net", [images(), words()], ids=["images", "words"])
def test_shorter_numbers_answer_nearly_the_same(net: supernet.SuperNet, dtype: str) -> None:
    short, exact = TorchWorker(net, threads=1, dtype=dtype), TorchWorker(net, threads=1)
    x = inputs(net)
    for subnet in net.subnets or net.space.enumerate():
        logits, expected = short.infer(subnet, x), exact.infer(subnet, x)
        assert logits.dtype == np.float32
        assert 0 < np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()
    assert short.describe()["dtype"] == dtype


def inputs(net: supernet.SuperNet) -> NDArray[Any]:
    rng, shape = np.random.default_rng(0), (4, *net.architecture.shape)
    return rng.integers(0, 20, shape) if net.architecture.dtype == "int64" else rng.standard_normal(shape).astype(np.float32)


def test_words_are_looked_up() -> None:
    net = words()
    worker, x = TorchWorker(net, threads=1), inputs(words())
    worker.warm_up(["d1", "d3"], [1, 4])
    with torch.inference_mode():
        assert np.array_equal(worker.infer("d3", x), net.forward(torch.from_numpy(x), "d3").numpy())
    with pytest.raises(BadOption, match="'d9'"):
        worker.infer("d9", x)


def test_a_warm_worker_runs_packed_weights_as_far_as_there_is_room_for_them() -> None:
    x = TEST.x[:3]
    on_views = TorchWorker(NET, threads=1, pack_mb=0)
    packed = TorchWorker(NET, threads=1)
    for worker in (on_views, packed):
        worker.warm_up(NET.front, [1])
    assert on_views.programs.bytes == 0
    assert 0 < packed.programs.bytes < packed.programs.limit
    for subnet in NET.front:
        assert np.array_equal(on_views.infer(subnet, x), packed.infer(subnet, x))


def test_what_a_warm_worker_has_packed_does_not_change_with_use() -> None:
    worker = TorchWorker(NET, threads=1, pack_mb=1)
    worker.warm_up(NET.front, [1])
    before = worker.programs.bytes
    assert before > 0
    for subnet in NET.front:
        for _ in range(HOT):
            worker.infer(subnet, TEST.x[:1])
    assert worker.programs.bytes == before


@CUDA
@pytest.mark.gpu
def test_a_gpu_answers_as_the_cpu_does() -> None:
    on_gpu, on_cpu = TorchWorker(NET, device="cuda"), TorchWorker(NET, threads=1)
    for subnet in NET.front:
        logits, expected = on_gpu.infer(subnet, TEST.x[:200]), on_cpu.infer(subnet, TEST.x[:200])
        assert np.abs(logits - expected).max() < 0.05
        assert (logits.argmax(1) == expected.argmax(1)).mean() > 0.98
    assert on_gpu.describe()["device"] == "cuda:0"
