from pathlib import Path

import numpy as np
import pytest

from superserve_cli import supernet
from superserve_cli.errors import BadOption
from superserve_cli.serving import profiling
from superserve_cli.serving.model import Model
from superserve_cli.serving.workers.resident import hold
from tests.serving.nets import SOME_IMAGES, declared, images, predicted, words


def labelled(path: Path, shape: tuple[int, ...] = (1, 8, 8), classes: int = 3) -> str:
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.standard_normal((60, *shape)).astype(np.float32), y=np.arange(60) % classes)
    return f"npz:{path}"


def kind_of(
    folder: Path, net: supernet.SuperNet, subnets: tuple[str, ...] = SOME_IMAGES, task: str | None = None
) -> tuple[str, list[float]]:
    supernet.save(folder, net)
    made = profiling.subject(hold(folder, threads=1), subnets, (1,), task, 0)
    return made.judge.kind, made.judge.of(made.worker, made.subnets, lambda *_: None)


PREDICTED = predicted(0.4, 1.0, 2.0, 3.0)


def test_without_a_task_what_the_maker_measured_counts_then_what_a_search_predicted_then_agreement(tmp_path: Path) -> None:
    known = declared(dict.fromkeys(SOME_IMAGES, 0.6))
    assert kind_of(tmp_path, images(subnets=known, predicted=PREDICTED)) == ("declared", [0.6] * 3)
    some = declared({SOME_IMAGES[0]: 0.6})
    assert kind_of(tmp_path, images(subnets=some, predicted=PREDICTED)) == ("predicted", [0.4] * 3)
    kind, found = kind_of(tmp_path, images(subnets=some))
    assert kind == "agreement"
    assert found[2] == 1.0  # the largest of the three agrees with itself
    assert all(0 <= each <= 1 for each in found)


def test_a_task_that_is_asked_for_is_measured_whatever_is_known(tmp_path: Path) -> None:
    task = labelled(tmp_path / "own.npz")
    kind, found = kind_of(tmp_path, images(subnets=declared(dict.fromkeys(SOME_IMAGES, 0.6))), task=task)
    assert kind == "measured"
    assert found != [0.6] * 3


def test_its_own_task_is_measured(tmp_path: Path) -> None:
    assert kind_of(tmp_path, images(task={"name": labelled(tmp_path / "own.npz"), "seed": 1}))[0] == "measured"


@pytest.mark.parametrize(("shape", "classes"), [((1, 4, 4), 3), ((2, 8, 8), 3), ((1, 8, 8), 4)])
def test_a_task_that_does_not_fit_is_refused(tmp_path: Path, shape: tuple[int, ...], classes: int) -> None:
    with pytest.raises(BadOption, match="the task npz-own has"):
        kind_of(tmp_path, images(), task=labelled(tmp_path / "own.npz", shape, classes))


def test_words_are_timed_on_random_words(tmp_path: Path) -> None:
    kind, found = kind_of(tmp_path, words(), ("d1", "d3"))
    assert (kind, found[1]) == ("agreement", 1.0)
    with pytest.raises(BadOption, match="float32 inputs"):
        kind_of(tmp_path, words(), ("d1",), labelled(tmp_path / "own.npz"))


@pytest.mark.parametrize(
    "model", [Model("m", "h", (4,), 2, datatype="INT64", vocabulary=(9,)), Model("m", "h", (2, 4), 2, None, None, "INT64", (9, 2))]
)
def test_random_words_are_known_and_no_padding(model: Model) -> None:
    x = profiling.inputs(model, 50, seed=1)
    assert (x.shape, str(x.dtype)) == ((50, *model.shape), "int64")
    first = x if x.ndim == 2 else x[:, 0]
    assert (first.min(), first.max()) == (1, 8)
    if x.ndim == 3:
        assert set(x[:, 1].ravel().tolist()) == {0, 1}
    assert np.array_equal(x, profiling.inputs(model, 50, seed=1))
    assert not np.array_equal(x, profiling.inputs(model, 50, seed=2))


def test_random_images_are_float32() -> None:
    x = profiling.inputs(Model("m", "h", (1, 4, 4), 2), 3, seed=0)
    assert (x.shape, str(x.dtype)) == ((3, 1, 4, 4), "float32")
