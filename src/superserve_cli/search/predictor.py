"""Accuracy predictors of Once-for-All: a file with a small network, and the encodings of subnets that it was trained on.

Facts of `ofa.nas.accuracy_predictor` and of its tutorials; blocks that do not run have no indicator set.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from superserve_cli.errors import BadFile
from superserve_cli.search.genes import Codes, Genes, Numbers
from superserve_cli.supernet.families import Architecture
from superserve_cli.supernet.importers.checkpoint import read

RESNET_SIDES: Final = (128, 144, 160, 176, 192, 224, 240, 256)
MBV3_SIDES: Final = {6: (128, 160, 176, 192, 208, 224), 8: tuple(range(112, 240, 16))}
"""By how many there are: the tutorials name 8; the older predictor counts (side - 112) / 16, as 8 do."""
FAMILIES: Final = ("ofa-resnet50", "ofa-mbv3")
LAYER: Final = re.compile(r"(?:layers\.(\d+)(?:\.0)?|(\d+))\.(weight|bias)")
HINT: Final = "name a predictor of Once-for-All, such as ofa_resnet50_acc_predictor.pth"

Encode = Callable[[Genes, Codes], Numbers]


@dataclass(frozen=True)
class Predictor:
    """Fully connected layers with ReLU between them; `base` is added to what they say."""

    genes: Genes
    encode: Encode
    layers: Sequence[tuple[Tensor, Tensor | None]]
    base: float

    def __call__(self, codes: Codes) -> Numbers:
        """The accuracy (n,) of subnets."""
        with torch.inference_mode():
            x = torch.from_numpy(self.encode(self.genes, codes)).float()
            for i, (weight, bias) in enumerate(self.layers):
                x = torch.nn.functional.linear(torch.relu(x) if i else x, weight, bias)
            return np.asarray(x[:, 0].double().numpy()) + self.base


def load(path: Path, family: str, architecture: Architecture, genes: Genes) -> Predictor:
    """The predictor of a file; raises BadFile for one that is none, or that does not fit the SuperNet."""
    tensors = read(path)
    base = float(tensors.get("base_acc", torch.zeros(1)).reshape(-1)[0])
    layers = _layers(path, {name: t for name, t in tensors.items() if name != "base_acc"})
    inputs = layers[0][0].shape[1]
    return Predictor(genes, _encoding(path, family, architecture, inputs), layers, base)


def _layers(path: Path, tensors: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor | None]]:
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if (match := LAYER.fullmatch(name)) is None:
            raise BadFile(f"{path} has the parameter {name}, which is none of an accuracy predictor", hint=HINT)
        found.setdefault(int(match[1] or match[2]), {})[match[3]] = tensor.float()
    if not found or any("weight" not in parts or parts["weight"].ndim != 2 for parts in found.values()):
        raise BadFile(f"{path} is no accuracy predictor: its layers are not fully connected", hint=HINT)
    layers = [(found[i]["weight"], found[i].get("bias")) for i in sorted(found)]
    widths = [weight.shape for weight, _ in layers]
    if widths[-1][0] != 1 or any(out[0] != into[1] for out, into in pairwise(widths)):
        shapes = ", ".join(f"{out}x{into}" for out, into in widths)
        raise BadFile(f"{path}: layers of {shapes} do not yield one number", hint=HINT)
    return layers


def _encoding(path: Path, family: str, architecture: Architecture, inputs: int) -> Encode:
    full = architecture.shape[-1]
    if family not in FAMILIES:
        raise BadFile(
            f"{path}: no predictor for {family} is known, only for {' and '.join(FAMILIES)}", hint="use --accuracy table:FILE or fit:N"
        )
    known = {82: _resnet} if family == "ofa-resnet50" else {126: _mbv3(6), 128: _mbv3(8)}
    if inputs not in known:
        sizes = " or ".join(map(str, known))
        raise BadFile(f"{path} takes {inputs} numbers, not {sizes} as predictors for {family} do", hint=HINT)
    return lambda genes, codes: known[inputs](genes, codes, full)


def _resnet(genes: Genes, codes: Codes, full: int) -> Numbers:
    """Resolution (8), whether the stem's block runs (2), widths (6 x 3), expand ratios (18 x 3)."""
    return np.concatenate(
        (
            _side(genes, codes, full, RESNET_SIDES),
            genes.indicators(codes, "stem"),
            genes.indicators(codes, "width"),
            genes.indicators(codes, "expand"),
        ),
        axis=1,
    )


def _mbv3(sides: int) -> Callable[[Genes, Codes, int], Numbers]:
    """Kernel sizes (20 x 3) and expand ratios (20 x 3), with the resolution before them (6), or after them (8), as older files have it."""

    def encode(genes: Genes, codes: Codes, full: int) -> Numbers:
        side = _side(genes, codes, full, MBV3_SIDES[sides])
        blocks = [genes.indicators(codes, "kernel"), genes.indicators(codes, "expand")]
        return np.concatenate([side, *blocks] if sides == 6 else [*blocks, side], axis=1)

    return encode


def _side(genes: Genes, codes: Codes, full: int, sides: tuple[int, ...]) -> Numbers:
    """The resolution among the known ones; raises BadFile for another one."""
    gene = next((i for i, (d, _) in enumerate(genes.places) if d.name == "resolution"), None)
    values = (float(full),) if gene is None else genes.places[gene][0].values
    if unknown := [f"{value:g}" for value in values if value not in sides]:
        raise BadFile(f"the predictor does not know the resolution {', '.join(unknown)}", hint=f"it knows {', '.join(map(str, sides))}")
    found = np.array([sides.index(int(value)) for value in values])[np.zeros(len(codes), int) if gene is None else codes[:, gene]]
    return np.asarray(np.eye(len(sides))[found])
