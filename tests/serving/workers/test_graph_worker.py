import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadOption, Unknown
from superserve_cli.serving.profiling import inputs
from superserve_cli.serving.workers.accelerators import Accelerator, Cuda, Host, Mark, Replay
from superserve_cli.serving.workers.graph_worker import SLOTS, GraphWorker
from superserve_cli.serving.workers.resident import of_supernet
from superserve_cli.serving.workers.torch_worker import TorchWorker
from superserve_cli.supernet import SuperNet
from tests.serving.nets import SOME_IMAGES, images, pairs, words

NETS = {"images": images(), "words": words(), "pairs": pairs()}
SIZES = (1, 2, 4)


class Lazy(Host):
    """A device that does nothing until somebody waits for a mark, and then everything in order: it finds whoever does not wait."""

    class Until:
        def __init__(self, device: "Lazy", number: int) -> None:
            self._device, self._number = device, number

        def synchronize(self) -> None:
            self._device.catch_up(self._number)

    def __init__(self) -> None:
        self.done = 0
        self._asked: list[Replay] = []

    def record(self, work: Replay) -> Replay:
        return work

    def compute(self, *work: Replay) -> None:
        self._asked += work

    def send(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self._asked.append(lambda: target.copy_(source))

    def fetch(self, target: torch.Tensor, source: torch.Tensor) -> Mark:
        self._asked.append(lambda: target.copy_(source))
        return self.Until(self, len(self._asked))

    def catch_up(self, number: int) -> None:
        with torch.inference_mode():
            for work in self._asked[self.done : number]:
                work()
        self.done = max(self.done, number)


def warm(net: SuperNet, accelerator: Accelerator | None = None, **options: object) -> GraphWorker:
    worker = GraphWorker(TorchWorker(net, threads=1, **options), accelerator or Host())  # type: ignore[arg-type]
    worker.warm_up(names(net), SIZES)
    return worker


def names(net: SuperNet) -> list[str]:
    return list(net.subnets or net.space.enumerate())


@pytest.fixture(scope="module", params=NETS)
def net(request: pytest.FixtureRequest) -> SuperNet:
    return NETS[str(request.param)]


def test_recorded_subnets_answer_as_plain_ones_at_every_size_up_to_more_than_the_largest(net: SuperNet) -> None:
    worker, plain = warm(net), TorchWorker(net, threads=1)
    x = inputs(of_supernet(plain).model, 11, seed=0)
    for subnet in names(net):
        for rows in range(1, 12):
            # another batch size may add up in another order
            np.testing.assert_allclose(worker.infer(subnet, x[:rows]), plain.infer(subnet, x[:rows]), rtol=1e-4, atol=1e-5)


@given(batches=st.lists(st.tuples(st.sampled_from(SOME_IMAGES), st.integers(1, SIZES[-1])), min_size=1, max_size=12))
def test_batches_in_two_slots_do_not_disturb_each_other(batches: list[tuple[str, int]]) -> None:
    worker, plain = warm(NETS["images"], Lazy()), TorchWorker(NETS["images"], threads=1)
    x = inputs(of_supernet(plain).model, SIZES[-1] * len(batches), seed=1)
    under_way: list[tuple[int, str, np.ndarray]] = []

    def finish() -> None:
        slot, subnet, rows = under_way.pop(0)
        np.testing.assert_allclose(worker.finish(slot), plain.infer(subnet, rows), rtol=1e-4, atol=1e-5)

    for number, (subnet, rows) in enumerate(batches):
        if len(under_way) == SLOTS:
            finish()
        mine = x[number * SIZES[-1] :][:rows].copy()
        worker.begin(number % SLOTS, subnet, mine)
        under_way.append((number % SLOTS, subnet, mine.copy()))
        mine[:] = 0  # whoever hands a batch over may use its memory again
    while under_way:
        finish()


def test_a_subnet_that_was_not_recorded_runs_all_the_same() -> None:
    worker = GraphWorker(TorchWorker(NETS["images"], threads=1), Host())
    x = np.ones((3, 1, 8, 8), np.float32)
    before = worker.infer(SOME_IMAGES[0], x)
    worker.warm_up(SOME_IMAGES[:1], SIZES)
    np.testing.assert_allclose(worker.infer(SOME_IMAGES[0], x), before, rtol=1e-4, atol=1e-5)
    assert worker.infer(SOME_IMAGES[1], x).shape == (3, 3)
    assert worker.describe()["graphs"] == len(SIZES)
    with pytest.raises(Unknown, match="no subnet 'd9'"):
        worker.infer("d9", x)


def test_pixels_are_what_they_are_as_numbers_from_0_to_1() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(3, 1, 8, 8), dtype=np.uint8)
    exact = TorchWorker(NETS["images"], threads=1)
    for worker in (warm(NETS["images"], pixels=True), TorchWorker(NETS["images"], threads=1, pixels=True)):
        expected = exact.infer(SOME_IMAGES[0], pixels.astype(np.float32) / 255)
        np.testing.assert_allclose(worker.infer(SOME_IMAGES[0], pixels), expected, rtol=1e-4, atol=1e-5)
    model = of_supernet(TorchWorker(NETS["images"], threads=1, pixels=True)).model
    assert (model.datatype, model.task) == ("UINT8", None)
    assert inputs(model, 4, seed=0).dtype == np.uint8


def test_words_are_no_pixels() -> None:
    with pytest.raises(BadOption, match="words does not read images"):
        TorchWorker(NETS["words"], threads=1, pixels=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_captured_graphs_answer_as_kernels_launched_one_by_one(net: SuperNet, dtype: str) -> None:
    plain = TorchWorker(net, "cuda", dtype=dtype)
    worker = GraphWorker(TorchWorker(net, "cuda", dtype=dtype), Cuda(plain.device))
    worker.warm_up(names(net), SIZES)
    x = inputs(of_supernet(plain, eager=True).model, SIZES[-1], seed=0)
    tolerance = 1e-3 if dtype == "float32" else 5e-2
    for subnet in names(net):
        for rows in range(1, SIZES[-1] + 1):
            np.testing.assert_allclose(worker.infer(subnet, x[:rows]), plain.infer(subnet, x[:rows]), rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_batches_overlap_on_a_gpu_without_mixing() -> None:
    net = NETS["images"]
    worker = GraphWorker(TorchWorker(net, "cuda", dtype="float32"), Cuda(torch.device("cuda", 0)))
    worker.warm_up(SOME_IMAGES, SIZES)
    x = inputs(of_supernet(TorchWorker(net, threads=1)).model, 64, seed=0)
    alone = {(s, i): worker.infer(s, x[i : i + 4]) for i in range(0, 64, 4) for s in SOME_IMAGES}
    worker.begin(0, *_nth(x, 0))
    for n in range(1, len(alone)):
        worker.begin(n % SLOTS, *_nth(x, n))
        np.testing.assert_array_equal(worker.finish((n - 1) % SLOTS), alone[_key(n - 1)])


def _key(n: int) -> tuple[str, int]:
    return SOME_IMAGES[n % 3], 4 * (n // 3)


def _nth(x: np.ndarray, n: int) -> tuple[str, np.ndarray]:
    subnet, at = _key(n)
    return subnet, x[at : at + 4]
