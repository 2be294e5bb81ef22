import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.boxes import Box
from superserve_cli.supernet.families import Architecture
from superserve_cli.supernet.layers import Norm, Plan
from superserve_cli.supernet.operations import Take
from superserve_cli.supernet.program import Program, bind, by_statistics, remembered, views
from superserve_cli.supernet.space import Space


class Statistics(NamedTuple):
    """The SubnetNorm statistics of one subnet: vectors over the channels of its norm layers, one layer after the other."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True, eq=False)
class SuperNet:
    """Weights that many subnets share, the space that they span, and the statistics of each subnet that has been calibrated.

    The subnet is an argument of everything, never a mode. `weights` are by parameter name, float32 unless `to` said otherwise;
    `metadata` is the content of `supernet.json`.
    """

    family: str
    architecture: Architecture
    weights: Mapping[str, Tensor]
    statistics: Mapping[Subnet, Statistics]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    _programs: dict[Subnet, Program] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """What a server and a profile call it."""
        return str(self.metadata.get("name", self.family))

    @cached_property
    def space(self) -> Space:
        """The elastic dimensions."""
        return self.architecture.space

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        """The subnets that are known by name: those with statistics, or where none needs any those that metadata has a row of."""
        return tuple(self.statistics) if self.normalized else tuple(sorted(self.metadata.get("subnets", ()), key=self.space.order))

    @cached_property
    def normalized(self) -> bool:
        """Whether it has SubnetNorm layers, so that a subnet needs statistics to run."""
        return bool(plans.norms(self.plan(self.space.largest)))

    def runs(self, subnet: Subnet) -> bool:
        """Whether a subnet of the space can run: it has statistics, or needs none."""
        return not self.normalized or subnet in self.statistics

    @property
    def front(self) -> tuple[Subnet, ...]:
        """The Pareto front of multiply-accumulates and validation accuracy, the cheapest first."""
        return tuple(self.metadata.get("front", ()))

    @cached_property
    def hash(self) -> str:
        """SHA-256 over architecture, weights and statistics."""
        digest = hashlib.sha256(json.dumps([self.family, self.architecture.to_json()], sort_keys=True).encode())
        for name, tensor in sorted(self.tensors().items()):
            digest.update(f"{name}:{tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)  # numpy has no bfloat16
        return digest.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is kept in the weights file, by the name it has there."""
        named = {f"{part}/{subnet}": tensor for subnet, own in self.statistics.items() for part, tensor in own._asdict().items()}
        return {**self.weights, **named}

    def plan(self, subnet: Subnet) -> Plan:
        """What a subnet computes; raises BadOption for an id outside the space."""
        return self.architecture.plan(self.space.parse(subnet))

    def program(self, subnet: Subnet) -> Program:
        """What actuates a subnet, built over views when it is first asked for; raises BadOption for one that is not calibrated."""
        if subnet not in self._programs:
            self._programs[subnet] = self.bound(subnet, self._views)
        return self._programs[subnet]

    @cached_property
    def _views(self) -> Take:
        return remembered(views(self.weights))

    def bound(self, subnet: Subnet, take: Take) -> Program:
        """A new program of a subnet over the tensors that `take` gives; raises BadOption for one that is not calibrated."""
        plan = self.plan(subnet)
        if not self.runs(subnet):
            raise BadOption(
                f"subnet {subnet} is not calibrated",
                hint=f"{self.name} has statistics of {len(self.statistics)} subnets; `superserve calibrate` adds more",
            )
        return bind(plan, take, by_statistics(plan, take, *self.statistics.get(subnet, NO_STATISTICS)))

    def forward(self, x: Tensor, subnet: Subnet) -> Tensor:
        """Outputs (n, classes) of a batch (n, *shape), by one subnet."""
        return self.program(subnet)(x)

    def slice_map(self, subnet: Subnet) -> dict[str, tuple[Box, ...]]:
        """Which indices of each shared parameter a subnet uses: disjoint boxes, nearly always one, of a range per dimension."""
        return plans.uses(self.plan(subnet))

    def macs(self, subnet: Subnet) -> int:
        """Multiply-accumulates of one input."""
        return plans.macs(self.plan(subnet), self.architecture.shape)

    def params(self, subnet: Subnet) -> int:
        """How many numbers a subnet computes with."""
        return plans.params(self.plan(subnet))

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "SuperNet":
        """The same SuperNet on another device, computing in another floating-point format; SubnetNorm stays in float32."""
        largest = plans.layers(self.plan(self.space.largest))
        exact = {part.parameter for layer in largest if isinstance(layer, Norm) for part in (layer.scale, layer.shift)}
        weights = {name: w.to(device, w.dtype if name in exact else dtype) for name, w in self.weights.items()}
        statistics = {subnet: Statistics(*(part.to(device) for part in own)) for subnet, own in self.statistics.items()}
        return replace(self, weights=weights, statistics=statistics, _programs={})


NO_STATISTICS = Statistics(torch.empty(0), torch.empty(0))
"""Of a subnet without SubnetNorm layers."""


def channels_last(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with the kernels of convolutions laid out channel by channel, which CPUs run faster."""
    return {name: w.contiguous(memory_format=torch.channels_last) if w.ndim == 4 else w for name, w in weights.items()}
