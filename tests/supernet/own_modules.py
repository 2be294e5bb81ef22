# mypy: disable-error-code="no-any-return"
"""Modules as users write them: nothing here knows SuperNets."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    def __init__(self, before: int, inner: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != out:
            self.downsample = nn.Sequential(nn.Conv2d(before, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """A bottleneck ResNet in the style of torchvision; `inner` are the channels inside each block of each stage."""

    def __init__(self, inner: Sequence[Sequence[int]] = ((8, 8), (12, 12, 12)), outs: Sequence[int] = (16, 24)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self.stage(8, inner[0], outs[0], 1)
        self.layer2 = self.stage(outs[0], inner[1], outs[1], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(outs[1], 5)

    @staticmethod
    def stage(before: int, inner: Sequence[int], out: int, stride: int) -> nn.Sequential:
        return nn.Sequential(*(Bottleneck(out if i else before, width, out, 1 if i else stride) for i, width in enumerate(inner)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Excite(nn.Module):
    """Squeeze and excitation, with a gate from convolutions."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.fc2(nn.functional.relu(self.fc1(gate))))


class MBConv(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, squeeze and excitation, projection."""

    def __init__(self, before: int, inner: int, squeezed: int, out: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False),
            nn.BatchNorm2d(inner, eps=1e-3),
            nn.Hardswish(inplace=True),
            nn.Conv2d(inner, inner, 5, stride, 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner, eps=1e-3),
            nn.Hardswish(),
            Excite(inner, squeezed),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out, eps=1e-3),
        )
        self.shortcut = stride == 1 and before == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.shortcut else self.block(x)


class MobileNet(nn.Module):
    """All its blocks are in one Sequential, between other layers. `inner` are channels and squeezed channels of each block."""

    def __init__(self, inner: Sequence[tuple[int, int]] = ((10, 5), (14, 6), (14, 6))) -> None:
        super().__init__()
        places = ((6, 8, 2), (8, 8, 1), (8, 8, 1))
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU6()),
            *(MBConv(before, *widths, out, stride) for widths, (before, out, stride) in zip(inner, places, strict=False)),
            nn.Conv2d(8, 20, 1),
            nn.SiLU(),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(20, 7), nn.Tanh(), nn.Dropout(0.2), nn.Linear(7, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3), keepdim=True))


class Reader(nn.Module):
    """A transformer encoder of PyTorch's over words, with learnt places."""

    def __init__(self, *, norm_first: bool = False, activation: str = "relu", layers: int = 4) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30, 16), nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 24, 0.1, activation, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(16), enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, words: Tensor) -> Tensor:
        x = self.words(words) + self.places(torch.arange(words.shape[1], device=words.device))
        return self.head(self.encoder(x).mean(1))


class Padded(Reader):
    """The same where the word 0 is padding."""

    def forward(self, words: Tensor) -> Tensor:
        x = self.words(words) + self.places(torch.arange(words.shape[1]))
        return self.head(self.encoder(x, src_key_padding_mask=words == 0)[:, 0])


class Block(nn.Module):
    """A transformer block of one's own, around PyTorch's attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.feed(self.norm2(x))


class Viewer(nn.Module):
    """A transformer of one's own over patches of images."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.places = nn.Parameter(torch.randn(1, 16, 16))
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])
