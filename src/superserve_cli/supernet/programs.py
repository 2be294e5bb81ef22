from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from torch import Tensor

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet.layers import Weight
from superserve_cli.supernet.program import Program, packed, views
from superserve_cli.supernet.supernet import SuperNet

HOT: Final = 16
"""A subnet that has run so often on views is worth a packed copy: copying costs about as much as a batch gains in so many runs."""


class Packed(NamedTuple):
    """A program over contiguous weights, and how many bytes of copies it holds."""

    program: Program
    bytes: int


@dataclass
class Programs:
    """The programs of a SuperNet: every subnet over views, and hot ones over packed copies, of at most `limit` bytes together.

    A subnet whose views are contiguous needs no copy. The least recently used copies make room for new ones.
    """

    supernet: SuperNet
    limit: int
    _packed: OrderedDict[Subnet, Packed] = field(default_factory=OrderedDict)
    _runs: Counter[Subnet] = field(default_factory=Counter)

    def get(self, subnet: Subnet) -> Program:
        """The fastest program of a subnet that there is; raises BadOption for one that is not calibrated."""
        if (hot := self._packed.get(subnet)) is not None:
            self._packed.move_to_end(subnet)
            return hot.program
        self._runs[subnet] += 1
        if self._runs[subnet] == HOT:
            self.pack(subnet)
        return self.supernet.program(subnet)

    def pack(self, *subnets: Subnet) -> None:
        """Make packed copies now, ahead of use, the last named the last to go; a subnet larger than the limit stays on views."""
        for subnet in subnets:
            if subnet not in self._packed and (made := pack(self.supernet, subnet)).bytes <= self.limit:
                self._packed[subnet] = made
                self._evict()

    @property
    def bytes(self) -> int:
        """How much memory the copies take."""
        return sum(each.bytes for each in self._packed.values())

    def _evict(self) -> None:
        while self.bytes > self.limit:
            subnet, _ = self._packed.popitem(last=False)
            del self._runs[subnet]


def pack(supernet: SuperNet, subnet: Subnet) -> Packed:
    """The program of a subnet over contiguous weights; raises BadOption for one that is not calibrated."""
    copied = 0
    as_view, as_packed = views(supernet.weights), packed(supernet.weights)

    def take(weight: Weight) -> Tensor:
        nonlocal copied
        tensor = as_packed(weight)
        if tensor.data_ptr() != as_view(weight).data_ptr():
            copied += tensor.nbytes
        return tensor

    return Packed(supernet.bound(subnet, take), copied)
