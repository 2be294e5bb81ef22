from pathlib import Path

import pytest

from superserve_cli import supernet
from superserve_cli.errors import BadFile, BadOption, SuperserveError, Unknown
from superserve_cli.serving.workers.onnx_worker import OnnxWorker
from superserve_cli.serving.workers.resident import hold, make
from superserve_cli.serving.workers.torch_worker import TorchWorker
from superserve_cli.supernet.onnx import export_subnet, export_whole
from tests.serving.nets import SOME_IMAGES, declared, images, predicted, words


def saved(folder: Path, net: supernet.SuperNet) -> Path:
    folder.mkdir()
    supernet.save(folder, net)
    return folder


def test_a_path_decides_what_runs_it(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net", images())
    export_whole(images(), SOME_IMAGES, tmp_path / "whole.onnx", verify=False)
    (tmp_path / "static").mkdir()
    export_subnet(images(), SOME_IMAGES[0], tmp_path / "static" / "one.onnx", verify=False)
    assert isinstance(hold(None).worker, TorchWorker)
    for path, kind in ((folder, TorchWorker), (tmp_path / "whole.onnx", OnnxWorker), (tmp_path / "static", OnnxWorker)):
        worker, model = make(str(path), device="cpu", threads=1)
        assert isinstance(worker, kind)
        assert (model.name, model.shape, model.classes, model.datatype) == ("images", (1, 8, 8), 3, "FP32")
        assert model.hash == supernet.load(folder).hash


def test_words_are_counted_in_both_forms(tmp_path: Path) -> None:
    net = words()
    export_whole(net, [*net.space.enumerate()], tmp_path / "words.onnx", verify=False)
    for path in (saved(tmp_path / "net", net), tmp_path / "words.onnx"):
        model = hold(path).model
        assert (model.datatype, model.vocabulary) == ("INT64", (20, 2))


def test_what_is_known_of_the_subnets(tmp_path: Path) -> None:
    net = images(front=[SOME_IMAGES[0]], subnets=declared(dict.fromkeys(SOME_IMAGES[:2], 0.5)), task={"name": "glyphs", "seed": 3})
    export_whole(net, SOME_IMAGES, tmp_path / "whole.onnx", verify=False)
    for path in (saved(tmp_path / "net", net), tmp_path / "whole.onnx"):
        held = hold(path)
        assert set(held.subnets) == set(SOME_IMAGES)
        assert held.largest == SOME_IMAGES[2]
        assert held.accuracies == dict.fromkeys(SOME_IMAGES[:2], 0.5)
        assert held.cost(SOME_IMAGES[1]) == (net.macs(SOME_IMAGES[1]), net.params(SOME_IMAGES[1]))
        assert (held.model.task, held.model.seed) == ("glyphs", 3)
        held.check(SOME_IMAGES[1])
        with pytest.raises(SuperserveError, match="d112-w1-"):
            held.check("d112-w1-e0.5")
    assert hold(tmp_path / "net").front == (SOME_IMAGES[0],)


def test_of_a_small_space_that_needs_no_statistics_all_subnets_are_known(tmp_path: Path) -> None:
    assert hold(saved(tmp_path / "net", words())).subnets == ("d1", "d2", "d3")


def test_the_front_that_a_search_predicted_is_the_front_where_none_is_measured(tmp_path: Path) -> None:
    said = predicted(0.5, 3.0, subnets=("d2",))
    held = hold(saved(tmp_path / "net", words(predicted=said)))
    assert (held.front, held.predicted) == (("d2",), said)


@pytest.mark.parametrize("name", ["net.txt", "folder", "missing"])
def test_what_is_no_supernet_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "net.txt").write_text("weights")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadFile, match="no SuperNet" if name != "missing" else "there is no") as refused:
        hold(tmp_path / name)
    assert refused.value.hint


def test_a_dtype_and_packed_weights_do_not_go_with_onnx_files(tmp_path: Path) -> None:
    export_subnet(images(), SOME_IMAGES[0], tmp_path / "one.onnx", verify=False)
    with pytest.raises(BadOption, match="--dtype does not go with ONNX files"):
        hold(tmp_path / "one.onnx", dtype="float32")
    with pytest.raises(BadOption, match="--pack-mb does not go with ONNX files"):
        hold(tmp_path / "one.onnx", pack_mb=1)


def test_an_unknown_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="no dtype 'int8'"):
        hold(None, dtype="int8")
