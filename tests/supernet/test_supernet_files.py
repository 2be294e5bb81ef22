import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from superserve_cli import supernet
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.supernet.files import DESCRIPTION, WAITING, WEIGHTS, replace_saved

NET = supernet.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    supernet.save(tmp_path / "net", NET)
    return tmp_path / "net"


def describe(folder: Path, **changes: Any) -> None:
    path = folder / "supernet.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def with_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = {**load_file(folder / "weights.safetensors"), **changes}
    save_file({name: t for name, t in tensors.items() if t is not None}, folder / "weights.safetensors")


def test_a_supernet_survives_its_files(folder: Path) -> None:
    again = supernet.load(folder)
    assert again.hash == NET.hash
    assert (again.name, again.front, again.subnets) == (NET.name, NET.front, NET.subnets)
    x = torch.ones(3, *NET.architecture.shape)
    assert all(torch.equal(again.forward(x, s), NET.forward(x, s)) for s in NET.front)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_supernet_in_another_format_has_a_hash_of_its_own(dtype: torch.dtype) -> None:
    held = NET.to(torch.device("cpu"), dtype)
    assert held.hash == NET.to(torch.device("cpu"), dtype).hash != NET.hash


def test_a_folder_holds_three_files_and_no_leftovers(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "supernet.json", "weights.safetensors"]


def one_more(net: supernet.SuperNet) -> supernet.SuperNet:
    """Another SuperNet of the same architecture."""
    changed = {**net.weights, "head.bias": net.weights["head.bias"] + 1}
    return supernet.SuperNet(net.family, net.architecture, changed, net.statistics, {**net.metadata, "name": "other"})


def test_a_save_that_was_killed_before_the_description_was_replaced_leaves_the_old_supernet(folder: Path, tmp_path: Path) -> None:
    supernet.save(tmp_path / "other", one_more(NET))
    whole = (tmp_path / "other" / WEIGHTS).read_bytes()
    for waiting in (whole, whole[:1000]):
        (folder / WAITING).write_bytes(waiting)
        assert supernet.load(folder).hash == NET.hash
    (folder / f".{WAITING}.123.tmp").write_bytes(whole[:1000])
    supernet.save(folder, one_more(NET))
    assert supernet.load(folder).name == "other"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", DESCRIPTION, WEIGHTS]


def test_a_save_that_was_killed_after_the_description_was_replaced_leaves_the_new_supernet(folder: Path, tmp_path: Path) -> None:
    supernet.save(tmp_path / "other", one_more(NET))
    (tmp_path / "other" / WEIGHTS).replace(folder / WAITING)
    (tmp_path / "other" / DESCRIPTION).replace(folder / DESCRIPTION)
    assert supernet.load(folder).hash == one_more(NET).hash
    (folder / f".{WAITING}.123.tmp").mkdir()  # the next save fails as soon as it writes
    with pytest.raises(BadFile):
        supernet.save(folder, NET)
    assert supernet.load(folder).hash == one_more(NET).hash


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / DESCRIPTION).mkdir()
    with pytest.raises(BadFile, match=r"cannot write .*supernet\.json"):
        supernet.save(tmp_path, NET)
    assert [path.name for path in tmp_path.iterdir()] == [DESCRIPTION]
    (tmp_path / "file").touch()
    with pytest.raises(BadFile, match="cannot write"):
        supernet.save(tmp_path / "file", NET)


def test_of_two_that_change_a_supernet_at_once_the_second_is_told(folder: Path) -> None:
    held = supernet.load(folder)
    replace_saved(folder, held, one_more(held))
    with pytest.raises(BadFile, match="holds another SuperNet by now"):
        replace_saved(folder, held, held)
    assert supernet.load(folder).hash == one_more(held).hash


def test_weights_in_another_format_are_kept_in_float32(tmp_path: Path) -> None:
    supernet.save(tmp_path, NET.to(torch.device("cpu"), torch.bfloat16))
    assert {tensor.dtype for tensor in load_file(tmp_path / WEIGHTS).values()} == {torch.float32}
    assert supernet.load(tmp_path).space == NET.space


def test_a_supernet_that_changes_has_another_hash() -> None:
    assert one_more(NET).hash != NET.hash


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schema": "supernet/2"}, "holds supernet/2, not supernet/1"),
        ({"schema": None}, "holds no schema that we know"),
        ({"family": "vit"}, "no family 'vit'"),
        ({"architecture": None}, "has no architecture"),
        ({"architecture": {"shape": [1, 16, 16], "classes": 20, "colour": 1}}, "not one of family conv: .*colour"),
        ({"architecture": {"shape": [1, 16, 16], "classes": 20, "depth": [3, 1]}}, "not one of family conv: depth is"),
        ({"architecture": {"shape": [1, 16, 16], "classes": "many"}}, "not one of family conv"),
        ({"hash": "0"}, "do not belong together"),
        ({"front": ["d999-w1-e1"]}, "the front has 'd999-w1-e1'"),
        ({"front": None}, "front is null, not a list"),
        ({"name": 5}, "name is 5, not a text"),
        ({"task": "glyphs"}, 'task is "glyphs", not an object'),
        ({"subnets": {NET.space.largest: 3}}, f"subnets.{NET.space.largest} is 3, not an object"),
        ({"predicted": {"subnets": []}}, r"predicted.subnets is \[\], not an object"),
    ],
)
def test_a_description_that_is_wrong_is_refused_by_name(folder: Path, changes: dict[str, Any], complaint: str) -> None:
    describe(folder, **changes)
    with pytest.raises(BadFile, match=complaint):
        supernet.load(folder)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"head.bias": None}, "lacks tensor head.bias"),
        ({"colour": torch.ones(1)}, "has the unknown tensor colour"),
        ({"head.bias": torch.ones(7)}, r"head.bias has the shape \(7,\), not \(20,\)"),
        ({"head.bias": torch.ones(20, dtype=torch.float16)}, "head.bias holds torch.float16"),
        ({"head.bias": torch.full((20,), torch.nan)}, "head.bias holds NaN"),
        ({"mean/d999-w1-e1": torch.ones(7)}, "mean/d999-w1-e1 names no subnet"),
        ({"variance/d111-w1-e0.5": None}, "lacks tensor variance/d111-w1-e0.5"),
    ],
)
def test_a_tensor_that_is_wrong_is_named(folder: Path, changes: dict[str, torch.Tensor | None], complaint: str) -> None:
    with_tensors(folder, **changes)
    with pytest.raises(BadFile, match=complaint):
        supernet.load(folder)


def test_truncated_or_foreign_files_are_refused(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        weights.write_bytes(content)
        with pytest.raises(BadFile, match="not a whole safetensors file"):
            supernet.load(folder)
    weights.unlink()
    with pytest.raises(BadFile, match=r"there is no .*weights\.safetensors"):
        supernet.load(folder)


def test_what_is_no_folder_of_a_supernet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for path, complaint in [(tmp_path / "none", "there is no"), (tmp_path / "file", "not a folder"), (tmp_path, r"there is no .*json")]:
        with pytest.raises(BadFile, match=complaint):
            supernet.load(path)


def test_a_subnet_that_is_not_calibrated_does_not_run() -> None:
    bare = supernet.SuperNet(NET.family, NET.architecture, NET.weights, {})
    with pytest.raises(BadOption, match="is not calibrated"):
        bare.program(NET.space.largest)
