# mypy: disable-error-code="no-any-return, union-attr, operator, func-returns-value, arg-type"
"""What cannot become a SuperNet is refused by one line that names the place."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from superserve_cli.errors import BadOption, SuperserveError, Unknown
from superserve_cli.supernet import Elastic, subnetact
from tests.supernet.own_modules import Block, Bottleneck, MobileNet, Reader, ResNet

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
WORDS = torch.zeros(2, 9, dtype=torch.int64)


class Around(nn.Module):
    """Something between the input and a stage of two residual blocks."""

    def __init__(self, between: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.stem, self.between = nn.Conv2d(3, 4, 1), between
        self.stage = nn.Sequential(Bottleneck(channels, 4, 8), Bottleneck(8, 4, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stage(self.between(self.stem(x))).mean((2, 3)))


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.conv, self.scale = function, nn.Conv2d(4, 4, 1), nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def conv(x: Tensor, m: nn.Module) -> Tensor:
    found: Tensor = m.conv(x)
    return found


def crossing(m: nn.Module, x: Tensor) -> Tensor:
    a, b = torch.sigmoid(x), torch.tanh(x)
    c = a + b
    return (c + a) * (b + c)


FUNCTIONS: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], str]] = {
    "control flow": (lambda m, x: x if x.sum() > 0 else -x, "between cannot be traced: symbolically traced variables"),
    "a function": (lambda m, x: torch.cumsum(x, 1), "between: cumsum is not supported"),
    "a method": (lambda m, x: x.roll(1), "between: roll is not supported"),
    "a number added": (lambda m, x: x + 1, "between: add of something that is no activation"),
    "a constant added": (lambda m, x: x + torch.ones(4, 1, 16), "between: add of something that is no activation"),
    "a factor": (lambda m, x: x * m.scale, "between: a multiplication with a parameter"),
    "a functional convolution": (lambda m, x: F.conv2d(x, m.conv.weight), "between: conv2d is not supported"),
    "two inputs": (lambda m, x: torch.maximum(x, m.conv(x)), "between: maximum takes 2 tensors"),
    "a view as images": (
        lambda m, x: x * torch.sigmoid(x.mean((2, 3))).view(x.size(0), 4, 1, 1),
        "a view of \\[2, 4\\] as \\[2, 4, 1, 1\\]",
    ),
    "a division": (lambda m, x: x / (x + x), "truediv takes 2 tensors"),
    "a mean of the channels": (lambda m, x: x * x.mean(1, keepdim=True), "the mean of 4 dimensions over \\[1\\]"),
    "twice the same module": (lambda m, x: conv(conv(x, m), m), "between.conv is used twice"),
    "paths that cross": (crossing, "paths through .* cross"),
    "the tanh of gelu": (lambda m, x: F.gelu(x, approximate="tanh"), "gelu with approximate='tanh'"),
    "dropout that is always on": (lambda m, x: F.dropout(x, 0.5), "dropout is on"),
    "a strange keyword": (lambda m, x: torch.add(x, x, alpha=2), "between: an addition with alpha"),
    "a strange argument": (lambda m, x: torch.sigmoid(x, out=None), "between: sigmoid is called in a way that is not supported"),
    "nothing of the input": (lambda m, x: m.scale.expand(2, 4, 16, 16), "does not depend"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_code_that_has_no_counterpart_is_refused_with_its_place(name: str) -> None:
    function, complaint = FUNCTIONS[name]
    with pytest.raises(BadOption, match=complaint) as refusal:
        subnetact(Around(Calls(function)).eval(), Elastic(), IMAGES)
    assert "\n" not in str(refusal.value)
    assert refusal.value.hint


MODULES: dict[str, tuple[nn.Module, str]] = {
    "a module": (nn.GroupNorm(2, 4), "between: GroupNorm is not supported"),
    "groups": (nn.Conv2d(4, 4, 1, groups=2), "between: Conv2d with groups=2"),
    "dilation": (nn.Conv2d(4, 4, 3, padding=2, dilation=2), "between: Conv2d with dilation=\\(2, 2\\)"),
    "an oblong kernel": (nn.Conv2d(4, 4, (1, 3)), "between: kernel_size \\(1, 3\\)"),
    "reflected padding": (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "padding_mode='reflect'"),
    "a norm without weights": (nn.BatchNorm2d(4, affine=False), "BatchNorm2d with affine=False"),
    "a norm by the batch": (nn.BatchNorm2d(4, track_running_stats=False), "track_running_stats=False"),
    "windows that overlap": (nn.AvgPool2d(3, 1, 1), "between: average pooling with padding or windows that overlap"),
    "adaptive pooling": (nn.AdaptiveAvgPool2d(4), "between: adaptive pooling to 4"),
    "the tanh of GELU": (nn.GELU("tanh"), "between: GELU with approximate='tanh'"),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_that_are_not_supported_are_refused_with_their_path(name: str) -> None:
    module, complaint = MODULES[name]
    with pytest.raises(BadOption, match=complaint):
        subnetact(Around(module).eval(), Elastic(), IMAGES)


def changed(change: Callable[[ResNet], object]) -> ResNet:
    model = ResNet().eval()
    change(model)
    return model


class Pixels(nn.Module):
    """A residual block with a layer over rows of pixels, which are as long as there are inner channels."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.grow, self.layer, self.shrink = nn.Conv2d(8, 16, 1), layer, nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shrink(self.layer(self.grow(x)))


class Added(nn.Module):
    """A table that is added to images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 16, 16, 16))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


@pytest.mark.parametrize("layer", [nn.Linear(16, 16), nn.LayerNorm(16), nn.RMSNorm(16), Added()], ids=lambda layer: type(layer).__name__)
def test_layers_over_rows_of_pixels_are_refused_even_where_these_are_as_long_as_there_are_channels(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(Pixels(layer)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(BadOption, match=r"layer\.weight is used on rows of pixels"):
        subnetact(model.eval(), Elastic(stages=("1",)), IMAGES)


STATES: dict[str, tuple[Callable[[ResNet], object], str]] = {
    "training": (lambda m: m.layer1[0].bn2.train(), "layer1.0.bn2 is in training mode"),
    "half precision": (lambda m: m.fc.half(), "fc.weight is not a float32 tensor"),
    "no stage": (lambda m: (setattr(m, "layer1", m.layer1[0]), setattr(m, "layer2", m.layer2[0])), "no stages were found"),
    "a tied weight": (
        lambda m: setattr(m.layer2[2].conv1, "weight", m.layer2[1].conv1.weight),
        "layer2.1.conv1.weight and layer2.2.conv1.weight",
    ),
    "a hook": (lambda m: m.layer2[1].conv2.register_forward_hook(lambda *a: a[2] * 2), "they differ first at layer2.1.conv2"),
    "a weight that is computed": (
        lambda m: nn.utils.spectral_norm(m.layer1[1].get_submodule("conv1")),
        "layer1.1.conv1.weight is no parameter",
    ),
    "a shared block": (lambda m: setattr(m.layer2, "2", m.layer2[1]), "layer2.1.* is used twice"),
}


@pytest.mark.parametrize("name", STATES)
def test_models_in_a_state_that_would_make_another_network_are_refused(name: str) -> None:
    change, complaint = STATES[name]
    with pytest.raises(BadOption, match=complaint):
        subnetact(changed(change), Elastic(), IMAGES)


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        (IMAGES[:, :2], "the model does not take the example \\[2, 2, 16, 16\\]"),
        (IMAGES.double(), "no batch of float32 or int64"),
        (IMAGES[:0], "no batch of float32 or int64"),
    ],
)
def test_examples_that_are_no_inputs_are_refused(example: Tensor, complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        subnetact(ResNet().eval(), Elastic(), example)


def test_models_that_yield_no_rows_of_outputs_are_refused() -> None:
    with pytest.raises(BadOption, match="the model yields a tensor \\[2, 4, 16, 16\\]"):
        subnetact(nn.Sequential(nn.Conv2d(3, 4, 1)).eval(), Elastic(), IMAGES)
    with pytest.raises(BadOption, match="the model yields a tuple"):
        subnetact(Calls(lambda m, x: (x, x)).eval(), Elastic(), IMAGES)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"stages": ("layer3",)}, "no module 'layer3'"),
        ({"stages": ("layer1.0",)}, "stage layer1.0 is a Bottleneck"),
        ({"stages": ("layer1[2:3]",)}, "stage layer1\\[2:3\\] has no blocks"),
        ({"stages": ("layer1.0.downsample",)}, "the blocks of stage layer1.0.downsample do not run one after the other"),
        ({"stages": "layer1"}, "stages is 'layer1'"),
        ({"depth": (4,)}, "no stage can run 4 blocks"),
        ({"depth": (1, 0.5)}, "depth is \\[1, 0.5\\]"),
        ({"depth": (0, 1)}, "depth is \\[0, 1\\]"),
        ({"depth": (2, 1)}, "depth is \\[2, 1\\]"),
        ({"width": (0.5, 1.5)}, "width is \\[0.5, 1.5\\]"),
        ({"width": ()}, "width is \\[\\]"),
        ({"width": None}, "nothing is elastic"),
        ({"per": "layer"}, "per is 'layer'"),
        ({"rule": "last"}, "rule 'last'"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(SuperserveError, match=complaint):
        subnetact(ResNet().eval(), Elastic(**settings), IMAGES)


def test_an_unknown_stage_is_refused_with_the_containers_that_there_are() -> None:
    with pytest.raises(Unknown) as refusal:
        subnetact(MobileNet().eval(), Elastic(stages=("blocks",)), IMAGES)
    assert "features, features.0" in refusal.value.hint


class Pooled(Reader):
    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.encoder(self.words(words), src_key_padding_mask=words == 1).mean(1))


class Strange(Reader):
    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.encoder(self.words(words), mask=torch.zeros(9, 9))[:, 0])


class Half(Reader):
    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.encoder(self.encoder.layers[0](self.words(words)), src_key_padding_mask=words == 1)[:, 0])


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (Pooled, "the words are pooled with their padding"),
        (Strange, "encoder: TransformerEncoder is called with more than x"),
        (Half, "not all attention masks out the same words"),
    ],
)
def test_masks_that_have_no_counterpart_are_refused(model: type[Reader], complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        subnetact(model().eval(), Elastic(), WORDS)


class Crossed(Block):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.norm1(x), x, x)[0]


class Weighing(Block):
    def forward(self, x: Tensor) -> Tensor:
        y, weights = self.attention(x, x, x)
        return y + weights


@pytest.mark.parametrize(("block", "complaint"), [(Crossed, "attention"), (Weighing, "blocks.[01]: the weights of attention are used")])
def test_attention_that_is_not_to_itself_alone_is_refused(block: type[Block], complaint: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.blocks, self.head = nn.Embedding(30, 16), nn.Sequential(block(), block()), nn.Linear(16, 2)

        def forward(self, words: Tensor) -> Tensor:
            return self.head(self.blocks(self.words(words)).mean(1))

    with pytest.raises(BadOption, match=complaint):
        subnetact(Net().eval(), Elastic(), torch.zeros(2, 16, dtype=torch.int64))
