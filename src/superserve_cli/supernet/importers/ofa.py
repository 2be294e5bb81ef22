"""Checkpoints of Once-for-All: OFA-ResNet50 and OFA-MobileNetV3, and of those who trained the same classes (CompOFA, DepS).

The running statistics in such a file are those of the largest subnet, so they become its SubnetNorm statistics and no other's.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.families import Architecture, parameters
from superserve_cli.supernet.importers import checkpoint
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from superserve_cli.supernet.ofa_resnet import OfaResNet50
from superserve_cli.supernet.supernet import Statistics, SuperNet, channels_last

CLASSES: Final = 1000
OLD_NAME: Final = ".mobile_inverted_conv."
"""How the first releases, and CompOFA, call what the class now calls `.conv.`."""
BUFFERS: Final = ("running_mean", "running_var", "num_batches_tracked")
"""What a checkpoint has of each BatchNorm beside its weights; the last is a counter that training needs, and may be absent."""
RELEASED: Final = {16: 1.0, 24: 1.2}
"""The width multiplier of a MobileNetV3, by the channels of its first convolution."""


def resnet50(path: Path) -> SuperNet:
    """The SuperNet in a checkpoint of OFAResNets, for as many classes as its classifier has; raises BadFile."""
    found = checkpoint.read(path)
    return supernet(path, found, "ofa-resnet50", OfaResNet50(classes=_rows(found.get("classifier.linear.linear.weight"), CLASSES)))


def mbv3(path: Path) -> SuperNet:
    """The SuperNet in a checkpoint of OFAMobileNetV3, w1.0 or w1.2, in either spelling of its names; raises BadFile."""
    found = {name.replace(OLD_NAME, ".conv."): tensor for name, tensor in checkpoint.read(path).items()}
    width = RELEASED.get(_rows(found.get("first_conv.conv.weight"), 0), 1.0)
    return supernet(path, found, "ofa-mbv3", OfaMbv3(classes=_rows(found.get("classifier.linear.weight"), CLASSES), width_mult=width))


def supernet(path: Path, found: Mapping[str, Tensor], family: str, architecture: Architecture) -> SuperNet:
    """The SuperNet that tensors of a checkpoint make, where they are what the architecture needs; raises BadFile."""
    largest, weights = architecture.space.largest, parameters(architecture)
    modules = [norm.scale.parameter.rpartition(".")[0] for norm in plans.norms(architecture.plan(architecture.space.parse(largest)))]
    means, variances, counters = ([f"{module}.{buffer}" for module in modules] for buffer in BUFFERS)
    buffers = {buffer: weights[f"{module}.weight"] for module, *own in zip(modules, means, variances, strict=True) for buffer in own}
    counted = set(counters)
    tensors = checkpoint.strict(path, {name: found[name] for name in found if name not in counted}, weights | buffers)
    own = Statistics(*(torch.cat([tensors[name] for name in names]) for names in (means, variances)))
    imported = SuperNet(family, architecture, channels_last({name: tensors[name] for name in weights}), {largest: own})
    known = {"macs": imported.macs(largest), "params": imported.params(largest)}
    return replace(imported, metadata={"subnets": {largest: known}})


def _rows(weight: Tensor | None, usual: int) -> int:
    return usual if weight is None or not weight.ndim else len(weight)
