import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from google.protobuf.message import EncodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superserve_cli import supernet
from superserve_cli.errors import BadFile, BadOption, SuperserveError
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.layers import RELU, Flatten, Plan
from superserve_cli.supernet.onnx import Control, described, export_subnet, export_tensors, export_whole, verify
from superserve_cli.supernet.onnx.columns import aligned
from superserve_cli.supernet.onnx.write import enough_memory, room_for
from superserve_cli.supernet.supernet import Statistics
from tests.supernet.drawn_nets import SMALL, drawn
from tests.supernet.test_insertion import NETS as MODULES
from tests.supernet.test_insertion import calibrated, some

SHIPPED = supernet.load()
FULL = SHIPPED.space.largest


@cache
def small(name: str) -> SuperNet:
    return drawn(*SMALL[name])


def answers(net: SuperNet, path: Path, subnet: str, batch: int) -> tuple[Any, Any]:
    """What ONNX Runtime and torch say to the same random inputs."""
    held = described.read(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = verify.inputs(net, np.random.default_rng(1), batch)
    (logits,) = session.run(["logits"], verify.feed(held, held.control(subnet), x))
    return logits, verify.torch_outputs(net, subnet, x)


def close(one: Any, other: Any) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= 1e-4 * np.abs(other).max())


@pytest.mark.parametrize("subnet", SHIPPED.subnets)
def test_every_shipped_subnet_answers_in_onnx_as_in_torch(subnet: str, tmp_path: Path) -> None:
    export_subnet(SHIPPED, subnet, tmp_path / "one.onnx", verify=False)
    for batch in (1, 3):
        assert close(*answers(SHIPPED, tmp_path / "one.onnx", subnet, batch))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.onnx"
    export_whole(SHIPPED, SHIPPED.subnets, path, verify=False)
    return path


@pytest.mark.parametrize("subnet", SHIPPED.subnets)
def test_one_file_answers_for_every_shipped_subnet(subnet: str, whole: Path) -> None:
    for batch in (1, 3):
        assert close(*answers(SHIPPED, whole, subnet, batch))


@pytest.mark.gpu
@pytest.mark.skipif("CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="ONNX Runtime has no CUDA here")
def test_one_file_answers_on_a_gpu_too(whole: Path) -> None:
    session, held = verify.opened(whole, [("CUDAExecutionProvider", {"use_tf32": 0}), "CPUExecutionProvider"]), described.read(whole)
    x = verify.inputs(SHIPPED, np.random.default_rng(1), 3)
    for control in held.subnets:
        (logits,) = session.run(None, verify.feed(held, control, x))
        assert close(logits, verify.torch_outputs(SHIPPED, control.id, x))


@pytest.mark.parametrize("name", SMALL)
def test_one_subnet_of_each_family_answers_in_onnx_as_in_torch(name: str, tmp_path: Path) -> None:
    net = small(name)
    for subnet in net.front[:3]:
        export_subnet(net, subnet, tmp_path / "one.onnx", verify=False)
        assert close(*answers(net, tmp_path / "one.onnx", subnet, 3))


@pytest.mark.parametrize("name", SMALL)
def test_one_file_answers_for_thirty_subnets_of_each_family_the_corners_included(name: str, tmp_path: Path) -> None:
    net = small(name)
    difference = export_whole(net, net.front, tmp_path / "whole.onnx")
    assert difference is not None
    assert difference <= 1e-4
    assert {net.space.smallest, net.space.largest} <= {control.id for control in described.read(tmp_path / "whole.onnx").subnets}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    widths=st.tuples(*[st.sampled_from((8, 16, 24))] * 3),
    depth=st.sampled_from([(1,), (1, 2), (2, 3)]),
    width=st.sampled_from([(1.0,), (0.5, 1.0), (0.4, 0.7, 1.0)]),
    expand=st.sampled_from([(0.5,), (0.5, 1.0)]),
    seed=st.integers(0, 99),
)
def test_whatever_is_elastic_one_file_answers_for_all(
    widths: tuple[int, ...], depth: tuple[int, ...], width: tuple[float, ...], expand: tuple[float, ...], seed: int, tmp_path: Path
) -> None:
    net = drawn("conv", {"shape": (1, 8, 8), "classes": 3, "widths": widths, "depth": depth, "width": width, "expand": expand}, 5, seed)
    found = export_whole(net, net.front, tmp_path / "whole.onnx")
    assert found is not None
    assert found <= 1e-4


def test_a_shortcut_that_only_some_subnets_have_is_a_branch(tmp_path: Path) -> None:
    net = drawn("conv", {"shape": (1, 8, 8), "classes": 3, "widths": (8, 8, 16), "width": (0.5, 1.0)})
    found = export_whole(net, net.front, tmp_path / "whole.onnx")
    assert found is not None
    assert found <= 1e-4


@pytest.mark.parametrize("name", MODULES)
def test_modules_that_were_made_elastic_are_exported_like_families(name: str, tmp_path: Path) -> None:
    with torch.no_grad():
        net = MODULES[name]()
    subnets = list(dict.fromkeys(some(net, 30)))
    net = calibrated(net, subnets)
    found = export_whole(net, subnets, tmp_path / "whole.onnx")
    assert found is not None
    assert found <= 1e-4
    export_subnet(net, subnets[0], tmp_path / "one.onnx")


def test_plans_that_are_not_alike_are_our_own_bug() -> None:
    column: dict[int, Plan] = {0: (Flatten(),), 1: (RELU,)}
    with pytest.raises(TypeError, match="more than extents"):
        list(aligned(column, {0: (4,), 1: (4,)}))


def test_a_whole_supernet_is_built_from_functions_branches_and_slices(whole: Path) -> None:
    model = onnx.load(whole)
    functions = {function.name: {node.op_type for node in function.node} for function in model.functions}
    kinds = {node.op_type for node in model.graph.node}
    assert functions["WeightSlice"] == {"Slice"}
    assert functions["SubnetNorm"] == {"Mul", "Add"}
    assert {"If", "Gather", "Conv"} <= kinds
    assert any({"WeightSlice", "Conv"} <= body for body in functions.values())


def test_blocks_that_look_alike_share_a_function(whole: Path) -> None:
    model = onnx.load(whole)
    blocks = [function for function in model.functions if function.name.startswith("Block")]
    assert len(blocks) < sum(len(stage.blocks) for stage in SHIPPED.plan(FULL) if hasattr(stage, "blocks"))


def test_a_whole_supernet_holds_each_shared_weight_once(whole: Path) -> None:
    constants = {tensor.name: tensor for tensor in onnx.load(whole).graph.initializer}
    large = {name: weight for name, weight in SHIPPED.weights.items() if weight.ndim > 1}
    assert {name: tuple(constants[name].dims) for name in large} == {name: tuple(weight.shape) for name, weight in large.items()}
    assert sum(len(tensor.raw_data) for tensor in constants.values()) < whole.stat().st_size < 1.2 * _bytes(SHIPPED)


def _bytes(net: SuperNet) -> int:
    return sum(tensor.numel() * 4 for tensor in net.tensors().values())


def test_a_static_subnet_has_its_normalisation_folded_into_its_convolutions(tmp_path: Path) -> None:
    export_subnet(SHIPPED, FULL, tmp_path / "one.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "one.onnx").graph.node}
    assert kinds <= {"Conv", "Relu", "Add", "AveragePool", "GlobalAveragePool", "Flatten", "Gemm", "Identity"}


def test_a_file_says_what_it_holds(whole: Path) -> None:
    found = described.read(whole)
    assert (found.form, found.name, found.hash, found.family) == ("supernet", SHIPPED.name, SHIPPED.hash, SHIPPED.family)
    assert (found.shape, found.dtype, found.classes) == ((1, 16, 16), "float32", SHIPPED.architecture.classes)
    assert found.task["name"] == "glyphs"
    known = SHIPPED.metadata["subnets"][FULL]
    control = found.control(FULL)
    assert (control.macs, control.params, control.accuracy) == (SHIPPED.macs(FULL), SHIPPED.params(FULL), known["test"])
    assert control.depth == (3, 3, 3)
    assert [other.row for other in found.subnets] == list(range(32))


def test_what_is_written_about_a_file_is_read_back(whole: Path) -> None:
    found = described.read(whole)
    assert described.parse(whole, {"superserve": found.text}) == found


def test_an_entry_of_depth_says_how_many_blocks_run_also_when_every_other_one_does(tmp_path: Path) -> None:
    net = small("transformer")
    export_whole(net, net.front, tmp_path / "whole.onnx")
    controls = described.read(tmp_path / "whole.onnx").subnets
    assert {control.id.split("-")[0]: control.depth for control in controls} == {f"d{depth}": (depth,) for depth in (2, 3, 4, 6)}


@pytest.mark.parametrize("opset", [13, 15, 18, 20, 21])
def test_older_and_newer_operator_sets_answer_alike(opset: int, tmp_path: Path) -> None:
    net = small("conv")
    export_subnet(net, net.front[-1], tmp_path / "one.onnx", opset)
    export_whole(net, net.front, tmp_path / "whole.onnx", opset)
    assert {domain.version for domain in onnx.load(tmp_path / "one.onnx").opset_import} == {opset}


@pytest.mark.parametrize("name", ["reranker", "embedder"])
@pytest.mark.parametrize("opset", [18, 20])
def test_newer_operator_sets_reduce_and_activate_alike(name: str, opset: int, tmp_path: Path) -> None:
    net = small(name)
    difference = export_whole(net, net.front, tmp_path / "whole.onnx", opset)
    assert difference is not None
    assert difference <= 1e-4


@pytest.mark.parametrize(
    ("name", "opset", "needed"),
    [("dynabert", 16, "LayerNormalization"), ("ofa-mbv3", 13, "HardSwish"), ("conv", 12, "13"), ("conv", 99, "21")],
)
def test_an_operator_set_that_cannot_hold_the_model_is_refused(name: str, opset: int, needed: str, tmp_path: Path) -> None:
    net = small(name)
    with pytest.raises(BadOption) as complaint:
        export_subnet(net, net.space.largest, tmp_path / "one.onnx", opset)
    assert needed in f"{complaint.value} {complaint.value.hint}"
    assert not any(tmp_path.iterdir())


def test_weights_that_do_not_fit_into_a_model_file_lie_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    export_whole(SHIPPED, SHIPPED.front, path, largest_inline=100_000)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["large.onnx", "large.onnx.data"]
    assert path.stat().st_size < 150_000 < (tmp_path / "large.onnx.data").stat().st_size
    assert described.read(path).form == "supernet"
    assert close(*answers(SHIPPED, path, SHIPPED.front[0], 2))


def test_a_model_that_does_not_answer_as_torch_does_is_not_kept(tmp_path: Path) -> None:
    broken = SuperNet("conv", SHIPPED.architecture, {**SHIPPED.weights, "head.bias": torch.full((20,), torch.nan)}, SHIPPED.statistics)
    with pytest.raises(SuperserveError, match="differs from torch"):
        export_subnet(broken, FULL, tmp_path / "one.onnx")
    assert not any(tmp_path.iterdir())
    assert export_subnet(broken, FULL, tmp_path / "one.onnx", verify=False) is None


def test_other_weights_are_noticed(whole: Path) -> None:
    other = SuperNet("conv", SHIPPED.architecture, {**SHIPPED.weights, "head.bias": torch.zeros(20)}, SHIPPED.statistics)
    with pytest.raises(SuperserveError, match="differs from torch"):
        verify.difference(other, whole, described.read(whole))


@pytest.mark.parametrize("export", [export_subnet, export_tensors])
def test_a_subnet_outside_the_space_is_refused(export: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="width is 'w0\\.7'"):
        export(SHIPPED, "d111-w0.7-e0.5", tmp_path / "one")
    assert not any(tmp_path.iterdir())


def test_a_subnet_without_statistics_is_refused(tmp_path: Path) -> None:
    bare = SuperNet("conv", SHIPPED.architecture, SHIPPED.weights, {FULL: Statistics(*SHIPPED.statistics[FULL])})
    with pytest.raises(BadOption, match="not calibrated"):
        export_whole(bare, [FULL, SHIPPED.space.smallest], tmp_path / "one.onnx")
    with pytest.raises(BadOption, match="no subnets"):
        export_whole(bare, [], tmp_path / "one.onnx")


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(BadFile, match="cannot write"):
        export_subnet(SHIPPED, FULL, tmp_path / "file" / "one.onnx")


def test_want_of_room_is_one_line_before_anything_is_written() -> None:
    room_for(Path("a.onnx"), 10**9, disk=10**9, memory=3 * 10**9)
    with pytest.raises(BadFile, match=r"a.onnx needs 2.0 GB, and 1.0 GB are free"):
        room_for(Path("a.onnx"), 2 * 10**9, disk=10**9, memory=10**12)
    with pytest.raises(SuperserveError, match=r"needs 6.0 GB of memory, and 1.0 GB are available"):
        room_for(Path("a.onnx"), 2 * 10**9, disk=10**12, memory=10**9)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), EncodeError("Failed to serialize")]
)
def test_running_out_of_memory_is_one_line(error: Exception) -> None:
    with pytest.raises(SuperserveError, match="not enough memory"), enough_memory(Path("a.onnx")):
        raise error


def test_other_failures_of_the_libraries_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), enough_memory(Path("a.onnx")):
        raise RuntimeError("shape")


def test_tensors_of_a_subnet_are_written_with_what_they_are(tmp_path: Path) -> None:
    from safetensors import safe_open

    export_tensors(SHIPPED, SHIPPED.space.smallest, tmp_path / "one.safetensors")
    with safe_open(tmp_path / "one.safetensors", "pt") as file:
        assert tuple(file.get_tensor("stem.conv.weight").shape) == (32, 1, 3, 3)
        assert {"stem.norm.running_mean", "stem.norm.running_var"} <= set(file.keys())
        assert json.loads(file.metadata()["superserve"])["subnets"][0]["id"] == SHIPPED.space.smallest


def written(path: Path, properties: dict[str, str]) -> Path:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (None, "does not say"),
        ("{", "does not say"),
        ("[]", "does not say"),
        ('{"schema": "onnx/9"}', "onnx/9, not onnx/1"),
        ('{"schema": "onnx/1"}', "damaged"),
    ],
)
def test_a_file_of_anybody_elses_is_refused(said: str | None, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", {} if said is None else {"superserve": said})
    with pytest.raises(BadFile, match=complaint):
        described.read(path)


@pytest.mark.parametrize("change", [{"form": "zoo"}, {"subnets": []}, {"shape": "wide"}, {"subnets": [{"id": "d1"}]}])
def test_a_damaged_description_is_refused(change: dict[str, Any], whole: Path) -> None:
    said = {**described.read(whole).to_json(), **change}
    with pytest.raises(BadFile, match="damaged"):
        described.parse(whole, {"superserve": json.dumps(said)})


def test_what_is_no_onnx_file_is_refused(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(whole.read_bytes()[:1000])
    (tmp_path / "text.onnx").write_text("not a model at all")
    for name in ("cut.onnx", "text.onnx", "nowhere.onnx", "."):
        with pytest.raises(BadFile):
            described.read(tmp_path / name)


def test_a_control_gives_the_inputs_that_actuate_its_subnet() -> None:
    feeds = Control("d1", 3, (1, 2), (8,), 1, 1).feeds()
    assert {name: value.tolist() for name, value in feeds.items()} == {"depth": [1, 2], "width": [8], "subnet": 3}
