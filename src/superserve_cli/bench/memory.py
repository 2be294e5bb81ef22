"""What N subnets take: in one SuperNet with N sets of statistics, and as N extracted models."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from superserve_cli.bench.nets import BYTES, RESNETS
from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import SuperNet


@dataclass(frozen=True)
class Memory:
    """Bytes over the number of subnets N = 1, 2, ...: `shared` in one SuperNet, `extracted` as models of their own."""

    shared: tuple[int, ...]
    extracted: tuple[int, ...]

    def ratio(self, count: int) -> float:
        """How many times as much N extracted models take."""
        return self.extracted[count - 1] / self.shared[count - 1]


def curve(net: SuperNet, subnets: Sequence[Subnet]) -> Memory:
    """Exact sizes of the tensors that have to be held: weights once and statistics per subnet, or everything per subnet."""
    weights = sum(tensor.nbytes for tensor in net.weights.values())
    statistics = (sum(part.nbytes for part in net.statistics[subnet]) for subnet in subnets)
    return Memory(
        tuple(weights + held for held in accumulate(statistics)), tuple(accumulate(BYTES * net.params(subnet) for subnet in subnets))
    )


def zoo_bytes() -> int:
    """ResNet-18, 34, 50 and 101 in float32."""
    return BYTES * sum(RESNETS.values())
