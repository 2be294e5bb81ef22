# mypy: disable-error-code="no-any-return, no-untyped-call"

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from superserve_cli import supernet
from superserve_cli.errors import BadOption
from superserve_cli.supernet import Elastic, Statistics, SuperNet, boxes, subnetact
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.extract import extract
from superserve_cli.supernet.layers import LayerSelect
from tests.supernet.own_modules import Block, MobileNet, Padded, Reader, ResNet, Viewer

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
WORDS = torch.randint(0, 30, (3, 9), generator=torch.Generator().manual_seed(0))


def randomised(model: nn.Module) -> nn.Module:
    """A model in evaluation mode whose weights and statistics are all different."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            scale = 0.1 if tensor.ndim == 1 else (tensor[0].numel()) ** -0.5
            noise = torch.randn(tensor.shape, generator=generator) * scale
            tensor.copy_(noise + 1 if name.endswith(("norm1.weight", "norm2.weight", "bn1.weight")) else noise)
            if name.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.5)
    return model.eval()


NETS: dict[str, Callable[[], SuperNet]] = {
    "resnet": lambda: subnetact(randomised(ResNet()), Elastic(depth=(1, 2), width=(0.3, 0.6)), IMAGES),
    "mobilenet": lambda: subnetact(
        randomised(MobileNet()), Elastic(stages=("features[1:4]",), depth=(0.5, 1.0), width=(0.5,), per="net"), IMAGES
    ),
    "post-norm": lambda: subnetact(randomised(Reader()), Elastic(depth=(1, 2, 3), width=(0.25, 0.5), per="net"), WORDS),
    "pre-norm": lambda: subnetact(randomised(Reader(norm_first=True, activation="gelu")), Elastic(depth=(0.5,), width=(0.7,)), WORDS),
    "own-transformer": lambda: subnetact(randomised(Viewer()), Elastic(depth=(1, 2), per="stage", rule="first"), IMAGES),
}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet": ResNet,
    "mobilenet": MobileNet,
    "post-norm": Reader,
    "pre-norm": lambda: Reader(norm_first=True, activation="gelu"),
    "own-transformer": Viewer,
}


def example(net: SuperNet) -> Tensor:
    return IMAGES if net.architecture.dtype == "float32" else WORDS


def some(net: SuperNet, count: int = 12) -> list[str]:
    """The corners of a space and subnets between."""
    return [net.space.smallest, net.space.largest, *net.space.sample(count, np.random.default_rng(0))]


def calibrated(net: SuperNet, subnets: list[str]) -> SuperNet:
    """With the first of the full statistics for each subnet: any will do, so long as all know which."""
    full = dict(_by_parameter(net, net.space.largest, net.statistics[net.space.largest])) if net.normalized else {}
    cut = {}
    for subnet in subnets if net.normalized else ():
        parts = [tuple(part[: norm.channels] for part in full[norm.scale.parameter]) for norm in plans.norms(net.plan(subnet))]
        cut[subnet] = Statistics(*(torch.cat([pair[i] for pair in parts]) for i in (0, 1)))
    return replace(net, statistics={**net.statistics, **cut}, _programs={})


def _by_parameter(net: SuperNet, subnet: str, own: Statistics) -> list[tuple[str, tuple[Tensor, Tensor]]]:
    norms = plans.norms(net.plan(subnet))
    channels = [norm.channels for norm in norms]
    pairs = zip(own.mean.split(channels), own.variance.split(channels), strict=True)
    return [(norm.scale.parameter, pair) for norm, pair in zip(norms, pairs, strict=True)]


@pytest.mark.parametrize("name", NETS)
def test_the_full_subnet_computes_what_the_module_does(name: str) -> None:
    net, model = NETS[name](), randomised(MODELS[name]())
    with torch.no_grad():
        torch.testing.assert_close(net.forward(example(net), net.space.largest), model(example(net)), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(net.forward(example(net)[:1], net.space.largest), model(example(net)[:1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_a_subnet_in_place_equals_its_extracted_copy_bit_by_bit(name: str) -> None:
    net = NETS[name]()
    for subnet in some(net):
        own = calibrated(net, [subnet])
        with torch.no_grad():
            assert torch.equal(own.forward(example(net), subnet), extract(own, subnet)(example(net)))


@pytest.mark.parametrize("name", NETS)
def test_the_slices_of_all_subnets_are_all_weights_of_the_module_under_its_own_names(name: str) -> None:
    net, state = NETS[name](), MODELS[name]().state_dict()
    assert net.weights.keys() == {key for key in state if "running" not in key and "num_batches" not in key}
    for parameter, used in net.slice_map(net.space.largest).items():
        assert boxes.size(used) == net.weights[parameter].numel()
    for subnet in some(net):
        assert net.slice_map(subnet).keys() <= net.weights.keys()


@pytest.mark.parametrize("name", NETS)
def test_it_is_saved_and_loaded_without_the_users_code(name: str, tmp_path: Path) -> None:
    net = NETS[name]()
    supernet.save(tmp_path / "net", net)
    again = supernet.load(tmp_path / "net")
    assert again.hash == net.hash
    assert again.architecture == net.architecture
    with torch.no_grad():
        assert torch.equal(again.forward(example(net), net.space.largest), net.forward(example(net), net.space.largest))


@pytest.mark.parametrize("name", NETS)
def test_smaller_subnets_cost_less(name: str) -> None:
    net = NETS[name]()
    assert net.macs(net.space.smallest) < net.macs(net.space.largest)
    assert net.params(net.space.smallest) < net.params(net.space.largest)


def test_the_module_is_not_changed_and_shares_no_memory() -> None:
    model = randomised(ResNet())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    net = subnetact(model, Elastic(), IMAGES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not {t.data_ptr() for t in net.weights.values()} & {t.data_ptr() for t in model.state_dict().values()}


class Remembers(ResNet):
    """A forward that keeps something, and adds a tensor that is nobody's parameter."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return super().forward(x) + torch.zeros(5)


def test_tracing_leaves_nothing_behind_on_the_module() -> None:
    model = randomised(Remembers())
    before = {path: dict(vars(module)) for path, module in model.named_modules()}
    with pytest.raises(BadOption, match="add of something that is no activation"):
        subnetact(model, Elastic(), IMAGES)
    assert isinstance(vars(model).pop("seen"), Tensor)
    assert {path: dict(vars(module)) for path, module in model.named_modules()} == before


def selects(net: SuperNet, subnet: str) -> list[tuple[int, ...]]:
    return [layer.kept for layer in net.plan(subnet) if isinstance(layer, LayerSelect)]


def narrower(full: Mapping[str, Tensor], small: nn.Module) -> nn.Module:
    """A smaller module of the same class, with the first channels of the weights and statistics of the full one."""
    small.load_state_dict({name: full[name][tuple(map(slice, own.shape))] for name, own in small.state_dict().items()})
    return small.eval()


def test_every_subnet_of_a_resnet_equals_a_smaller_resnet_with_the_first_channels() -> None:
    full = randomised(ResNet()).state_dict()
    net, counts = NETS["resnet"](), {0.3: 0, 0.6: 1, 1.0: 2}
    channels = {8: (3, 5, 8), 12: (4, 8, 12)}  # ceil(W * C)
    for subnet in some(net, 30):
        point = net.space.parse(subnet)
        first, second = int(point["depth of layer1"][0]), int(point["depth of layer2"][0])
        widths = [counts[w] for w in point["width"]]
        inner = [[channels[8][w] for w in widths[:first]], [channels[12][w] for w in widths[2 : 2 + second]]]
        with torch.no_grad():
            expected = narrower(full, ResNet(inner))(IMAGES)
            torch.testing.assert_close(calibrated(net, [subnet]).forward(IMAGES, subnet), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("width", "inner"), [(0.5, [(5, 3), (7, 3), (7, 3)]), (1.0, [(10, 5), (14, 6), (14, 6)])])
@pytest.mark.parametrize("depth", [2, 3])
def test_every_subnet_of_inverted_residuals_equals_a_smaller_one_gates_and_depthwise_kernels_too(
    width: float, inner: list[tuple[int, int]], depth: int
) -> None:
    net = NETS["mobilenet"]()
    subnet = net.space.subnet({"depth": (float(depth),), "width": (width,)})
    small = MobileNet(inner[:depth])
    renamed = {name: name for name in small.state_dict()} | {
        f"features.{depth + 1}.{part}": f"features.4.{part}" for part in ("weight", "bias")
    }
    full = randomised(MobileNet()).state_dict()
    small = narrower({mine: full[its] for mine, its in renamed.items()}, small)  # type: ignore[assignment]
    with torch.no_grad():
        torch.testing.assert_close(calibrated(net, [subnet]).forward(IMAGES, subnet), small(IMAGES), rtol=1e-5, atol=1e-6)


def attention(x: Tensor, state: Mapping[str, Tensor], heads: int) -> Tensor:
    """The first heads, of 4 dimensions each, written out."""
    found = state["out_proj.bias"].clone()
    for head in range(heads):
        rows = [torch.arange(16 * part + 4 * head, 16 * part + 4 * head + 4) for part in range(3)]
        q, k, v = (x @ state["in_proj_weight"][own].T + state["in_proj_bias"][own] for own in rows)
        found = found + torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v @ state["out_proj.weight"][:, 4 * head : 4 * head + 4].T
    return found


def encoder_layer(x: Tensor, layer: nn.TransformerEncoderLayer, heads: int, neurons: int) -> Tensor:
    def feed(x: Tensor) -> Tensor:
        inner = x @ layer.linear1.weight[:neurons].T + layer.linear1.bias[:neurons]
        inner = F.gelu(inner) if layer.norm_first else F.relu(inner)
        return inner @ layer.linear2.weight[:, :neurons].T + layer.linear2.bias

    state = layer.self_attn.state_dict()
    if layer.norm_first:
        x = x + attention(layer.norm1(x), state, heads)
        return x + feed(layer.norm2(x))
    x = layer.norm1(x + attention(x, state, heads))
    return layer.norm2(x + feed(x))


KEPT = {1: (0,), 2: (0, 2), 3: (0, 1, 2), 4: (0, 1, 2, 3)}
"""Every other of four layers: floor(i * 4 / depth)."""


@pytest.mark.parametrize("name", ["post-norm", "pre-norm"])
def test_every_subnet_of_an_encoder_equals_every_other_layer_with_the_first_heads_and_neurons(name: str) -> None:
    net, model = NETS[name](), randomised(MODELS[name]())
    assert isinstance(model, Reader)
    for subnet in some(net, 30):
        point = net.space.parse(subnet)
        kept = KEPT[int(point["depth"][0])]
        widths = point["width"] if len(point["width"]) > 1 else point["width"] * 4
        with torch.no_grad():
            x = model.words(WORDS) + model.places(torch.arange(9))
            for i, width in zip(kept, widths, strict=False):
                layer = model.encoder.layers[i]
                assert isinstance(layer, nn.TransformerEncoderLayer)
                x = encoder_layer(x, layer, {0.25: 1, 0.5: 2, 0.7: 3, 1.0: 4}[width], {0.25: 6, 0.5: 12, 0.7: 17, 1.0: 24}[width])
            assert model.encoder.norm is not None
            expected = model.head(model.encoder.norm(x).mean(1))
            torch.testing.assert_close(net.forward(WORDS, subnet), expected, rtol=1e-4, atol=1e-5)


def test_a_transformer_of_ones_own_runs_its_first_blocks_where_it_says_so() -> None:
    net, model = NETS["own-transformer"](), randomised(Viewer())
    assert isinstance(model, Viewer)
    model.blocks = model.blocks[:2]
    with torch.no_grad():
        torch.testing.assert_close(net.forward(IMAGES, "d2-w1"), model(IMAGES), rtol=1e-5, atol=1e-6)
    assert selects(net, "d2-w1") == [(0, 1)]


def test_the_full_subnet_has_the_modules_own_statistics_and_others_have_none() -> None:
    net = NETS["resnet"]()
    assert set(net.statistics) == {net.space.largest}
    assert torch.equal(net.statistics[net.space.largest].mean[:8], randomised(ResNet()).get_buffer("bn1.running_mean"))


def test_a_module_without_batch_norm_needs_no_statistics() -> None:
    net = NETS["pre-norm"]()
    assert not net.statistics
    assert net.runs(net.space.smallest)


def test_words_that_a_mask_hides_change_no_answer() -> None:
    model = randomised(Padded())
    net = subnetact(model, Elastic(depth=(2,), per="net"), WORDS)
    padded = torch.cat((WORDS.clamp(min=1)[:, :6], torch.zeros(3, 3, dtype=torch.int64)), 1)
    with torch.no_grad():
        torch.testing.assert_close(net.forward(padded, net.space.largest), model(padded), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(net.forward(padded, net.space.largest), net.forward(padded.clamp(min=1), net.space.largest))
    assert supernet.family("module")(**net.architecture.to_json()) == net.architecture


class Context(nn.Module):
    """A block that adds to each pixel what it makes of the mean over all of them (as in GCNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True))))


def test_what_is_added_to_every_pixel_has_the_shape_of_the_images() -> None:
    model = randomised(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(Context(), Context()), nn.Flatten(), nn.Linear(8 * 256, 2)))
    net = subnetact(model, Elastic(stages=("1",), depth=(1, 2)), IMAGES)
    with torch.no_grad():
        for subnet in net.space.enumerate():
            assert torch.equal(net.forward(IMAGES, subnet), extract(net, subnet)(IMAGES))


class Buffered(nn.Module):
    """A transformer whose places are a buffer, cut to the length of the text."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(30, 16), nn.Linear(16, 3)
        self.register_buffer("places", torch.randn(1, 20, 16), persistent=False)
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.blocks(self.words(words) + self.places[:, : words.shape[1]]).mean(1))


def test_a_table_of_places_may_be_a_buffer() -> None:
    net = subnetact(randomised(Buffered()), Elastic(depth=(1,)), WORDS)
    assert net.weights["places"].shape == (1, 9, 16)
