import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from superserve_cli import supernet
from superserve_cli.errors import BadFile, SuperserveError, Unknown
from superserve_cli.supernet import importers
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.importers import ofa
from superserve_cli.supernet.importers.checkpoint import read, strict
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from superserve_cli.supernet.ofa_resnet import OfaResNet50
from tests.supernet.ofa_nets import TINY_MBV3, checkpoint

TENSORS = {"stem.weight": torch.arange(4.0).reshape(2, 2), "stem.bias": torch.ones(2)}
SHAPES = {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def in_safetensors(path: Path) -> Path:
    save_file(TENSORS, path)
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda path: saved(path, TENSORS),
        lambda path: saved(path, TENSORS, _use_new_zipfile_serialization=False),
        lambda path: saved(path, {"state_dict": TENSORS, "epoch": 3, "optimizer": {"state": {}}}),
        lambda path: saved(path, {"model": TENSORS, "best": 0.8}),
        lambda path: saved(path, {"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}}),
        lambda path: saved(path, {name: torch.nn.Parameter(tensor) for name, tensor in TENSORS.items()}),
        in_safetensors,
    ],
    ids=["bare", "before torch 1.6", "state_dict", "model", "parallel", "parameters", "safetensors"],
)
def test_a_checkpoint_is_read_however_it_is_wrapped(write: Callable[[Path], Path], tmp_path: Path) -> None:
    found = read(write(tmp_path / "c"))
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_a_prefix_that_only_some_names_have_belongs_to_them(tmp_path: Path) -> None:
    assert read(saved(tmp_path / "c", {"module.a": torch.ones(1), "b": torch.ones(1)})).keys() == {"module.a", "b"}


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_file_with_code_in_it_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    path = saved(tmp_path / "c.pt", {"state_dict": TENSORS, "extra": Trap(tmp_path / "trap")})
    with pytest.raises(BadFile, match=r"holds code to run, \w+\.mkdir") as refused:
        read(path)
    assert "state_dict alone" in refused.value.hint
    assert not (tmp_path / "trap").exists()


def test_a_whole_module_is_code_too(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"holds code to run, torch\.nn\.modules\.linear\.Linear"):
        read(saved(tmp_path / "c.pt", torch.nn.Linear(2, 2)))


def pickled(**options: Any) -> bytes:
    torch.save(TENSORS, written := BytesIO(), **options)
    return written.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"<!doctype html><html><body>404</body></html>", "is not a checkpoint, or not a whole one"),
        (bytes(range(256)) * 8, "is not a checkpoint, or not a whole one"),
        (pickled()[:700], "is not a checkpoint, or not a whole one"),
        (pickled(_use_new_zipfile_serialization=False)[:-9], "is not a checkpoint, or not a whole one"),
        (pickled(_use_new_zipfile_serialization=False)[:30], "is not a checkpoint, or not a whole one"),
        ((90).to_bytes(8, "little") + b'{"a":', "is not a whole safetensors file"),
    ],
)
def test_a_file_that_is_no_checkpoint_or_not_whole_is_refused_in_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=complaint) as refused:
        read(path)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([1, 2], "holds no parameters"),
        ({}, "holds no parameters"),
        ({"state_dict": {}}, "holds no parameters"),
        ({"weight": 3.0, "bias": torch.ones(2)}, r"not tensors: weight \(float\)"),
        ({"weight": torch.eye(2).to_sparse(), "bias": torch.ones(2)}, "no plain numbers in weight"),
        ({"weight": torch.ones(2, device="meta")}, "no plain numbers in weight"),
    ],
)
def test_a_file_of_something_else_is_refused(content: Any, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=complaint):
        read(saved(tmp_path / "c.pt", content))


@pytest.mark.parametrize("place", ["absent", "."])
def test_a_place_where_no_file_is_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"there is no|is a folder"):
        read(tmp_path / place)


def test_what_fits_comes_as_float32_in_the_expected_order() -> None:
    half = {name: TENSORS[name].half() for name in reversed(TENSORS)}
    found = strict(Path("c"), half, SHAPES)
    assert list(found) == list(SHAPES)
    assert all(tensor.dtype == torch.float32 and torch.equal(tensor, TENSORS[name]) for name, tensor in found.items())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"stem.bias": None}, r"lacks stem\.bias"),
        ({"head.weight": torch.ones(1)}, r"has the unknown head\.weight"),
        ({f"head.{i}": torch.ones(1) for i in range(5)}, r"head\.0, head\.1, head\.2 and 2 more"),
        ({"stem.weight": torch.ones(2, 3)}, r"stem\.weight \(2, 3\), not \(2, 2\)"),
        ({"stem.bias": torch.ones(2, dtype=torch.float64)}, r"stem\.bias torch\.float64"),
        ({"stem.bias": torch.tensor([1.0, float("nan")])}, r"NaN or infinity in stem\.bias"),
        ({"stem.bias": None, "bias": torch.ones(2)}, r"lacks stem\.bias; has the unknown bias"),
    ],
)
def test_each_parameter_that_does_not_fit_is_named(changes: dict[str, Tensor | None], complaint: str) -> None:
    found = {name: tensor for name, tensor in {**TENSORS, **changes}.items() if tensor is not None}
    with pytest.raises(BadFile, match=complaint):
        strict(Path("c"), found, SHAPES)


def test_a_family_without_an_importer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="conv"):
        importers.load(tmp_path, "conv")


def test_a_checkpoint_larger_than_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(path: Path) -> supernet.SuperNet:
        raise MemoryError

    monkeypatch.setitem(importers.IMPORTERS, "vast", exhausted)
    with pytest.raises(BadFile, match="does not fit into memory"):
        importers.load(saved(tmp_path / "c.pt", TENSORS), "vast")


RESNET, MBV3 = OfaResNet50(classes=7), OfaMbv3(classes=7)


def test_an_ofa_resnet50_becomes_a_supernet_whose_largest_subnet_runs(tmp_path: Path) -> None:
    tensors = checkpoint(RESNET)
    path = saved(tmp_path / "ofa.pt", {"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}})
    net = importers.load(path, "ofa-resnet50")
    assert (net.name, net.architecture.classes, net.subnets) == ("ofa-resnet50", 7, (net.space.largest,))
    assert net.metadata["origin"] == {"file": "ofa.pt", "sha256": importers.sha256(path), "format": "ofa-resnet50"}
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in net.weights.items())
    means, variances = (
        torch.cat([tensors[norm.scale.parameter.replace("weight", part)] for norm in plans.norms(net.plan(net.space.largest))])
        for part in ("running_mean", "running_var")
    )
    assert torch.equal(net.statistics[net.space.largest].mean, means)
    assert torch.equal(net.statistics[net.space.largest].variance, variances)
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(net.forward(x, net.space.largest), extract(net, net.space.largest)(x))


def test_other_subnets_have_to_be_calibrated_first(tmp_path: Path) -> None:
    net = importers.load(saved(tmp_path / "ofa.pt", checkpoint(MBV3)), "ofa-mbv3")
    with pytest.raises(SuperserveError, match="is not calibrated"):
        net.program(net.space.smallest)


@pytest.mark.parametrize("width_mult", [1.0, 1.2])
def test_an_ofa_mobilenet_is_recognised_in_both_spellings_and_widths(width_mult: float, tmp_path: Path) -> None:
    tensors = checkpoint(OfaMbv3(classes=3, width_mult=width_mult))
    old = {ofa.OLD_NAME.join(name.split(".conv.", 1)) if name.startswith("blocks") else name: tensor for name, tensor in tensors.items()}
    one, other = (importers.load(saved(tmp_path / f"{i}.pt", each), "ofa-mbv3") for i, each in enumerate((tensors, old)))
    assert one.architecture == other.architecture == OfaMbv3(classes=3, width_mult=width_mult)
    assert one.hash == other.hash


def test_an_imported_supernet_is_saved_and_read_again(tmp_path: Path) -> None:
    net = ofa.supernet(tmp_path, checkpoint(TINY_MBV3), "ofa-mbv3", TINY_MBV3)
    supernet.save(tmp_path / "net", net)
    again = supernet.load(tmp_path / "net")
    assert (again.hash, again.subnets, again.weights.keys()) == (net.hash, net.subnets, net.weights.keys())


def test_counters_of_batches_may_be_absent_but_no_others_than_those_may_be_there(tmp_path: Path) -> None:
    tensors = checkpoint(TINY_MBV3)
    bare = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    assert ofa.supernet(tmp_path, bare, "ofa-mbv3", TINY_MBV3).hash == ofa.supernet(tmp_path, tensors, "ofa-mbv3", TINY_MBV3).hash
    with pytest.raises(BadFile, match=r"has the unknown other\.num_batches_tracked"):
        ofa.supernet(tmp_path, {**tensors, "other.num_batches_tracked": torch.tensor(1)}, "ofa-mbv3", TINY_MBV3)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("first_conv.bn.running_mean", "lacks first_conv.bn.running_mean"), ("classifier.linear.weight", "lacks classifier.linear.weight")],
)
def test_a_checkpoint_without_one_of_its_tensors_is_refused(name: str, complaint: str, tmp_path: Path) -> None:
    tensors = checkpoint(MBV3)
    del tensors[name]
    with pytest.raises(BadFile, match=complaint):
        importers.load(saved(tmp_path / "ofa.pt", tensors), "ofa-mbv3")


def test_a_checkpoint_of_another_family_says_which_one_it_looks_like(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"lacks input_stem\.0\.conv\.conv\.weight") as refused:
        importers.load(saved(tmp_path / "ofa.pt", checkpoint(MBV3)), "ofa-resnet50")
    assert refused.value.hint == "it looks like a checkpoint of --family ofa-mbv3"


def test_one_extracted_subnet_is_not_taken_for_a_supernet(tmp_path: Path) -> None:
    static = {name.replace("conv.conv.", "conv.").replace("bn.bn.", "bn."): tensor for name, tensor in checkpoint(MBV3).items()}
    with pytest.raises(BadFile) as refused:
        importers.load(saved(tmp_path / "subnet.pt", static), "ofa-mbv3")
    assert refused.value.hint == "it looks like one extracted subnet of OFA-MobileNetV3, not the SuperNet"


def test_the_hash_of_a_folder_is_over_the_names_and_contents_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = importers.sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert importers.sha256(tmp_path) != before != importers.sha256(tmp_path / "b")


def test_a_checkpoint_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "endless.pt")
    with pytest.raises(BadFile, match="entries that are not tensors"):
        read(tmp_path / "endless.pt")
