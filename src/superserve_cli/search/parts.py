"""What a subnet costs, without its plan: plans fall into parts, and each part depends on a few genes only.

A part is a block of a stage, or the layers between two stages. Which genes a part depends on is found by trying: from several
subnets, every gene is set to each of its values, and the parts that change are those that depend on it; random subnets are the check.
Each combination of a part's genes is priced once, from a real plan; from then on a subnet costs a few look-ups.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.search.genes import Codes, Genes, Numbers
from superserve_cli.search.layer import Work, work, works
from superserve_cli.supernet.families import Architecture
from superserve_cli.supernet.layers import Layer, LayerSelect, Plan
from superserve_cli.supernet.plan import Shape, output_shape

Part = tuple[str, ...]
"""The keys of the layers of a part that run; none, where it does not."""
BASES: Final = 3
CHECKED: Final = 64
SEED: Final = 0
"""Decides the subnets that are tried and checked, not those that are found."""


class _Strange(NamedTuple):
    """Two subnets that differ in a part."""

    part: int
    one: Codes
    other: Codes


@dataclass
class Parts:
    """The parts of the plans of an architecture. `seen` holds every layer that came up so far, by its key."""

    architecture: Architecture
    genes: Genes
    seen: dict[str, Work] = field(default_factory=dict)
    _keys: dict[tuple[Layer, Shape], str] = field(default_factory=dict)
    _known: dict[bytes, tuple[Part, ...]] = field(default_factory=dict)

    def of(self, row: Codes) -> tuple[Part, ...]:
        """The parts of one subnet, a row (genes,), as its plan has them."""
        code = row.tobytes()
        if code not in self._known:
            point = self.genes.space.parse(self.genes.decode(row[None])[0])
            found = _cut(self.architecture.plan(point), self.architecture.shape)
            self._known[code] = tuple(tuple(self._key(layer, shape) for layer, shape in part) for part in found)
        return self._known[code]

    def _key(self, layer: Layer, shape: Shape) -> str:
        if (key := self._keys.get((layer, shape))) is None:
            found = work(layer, shape)
            key = self._keys[layer, shape] = found.key
            self.seen.setdefault(key, found)
        return key

    @cached_property
    def genes_of(self) -> tuple[NDArray[np.int64], ...]:
        """Which genes each part depends on, checked on random subnets: those that agree in the genes of a part agree in the part."""
        rng = np.random.default_rng(SEED)
        found = self._tried(np.concatenate((self.genes.extremes, self.genes.sample(BASES, rng))))
        while (strange := self._strange(found, self.genes.sample(CHECKED, rng))) is not None:
            found[strange.part] |= set(self._between(*strange))
        return tuple(np.array(sorted(genes), int) for genes in found)

    def _tried(self, bases: Codes) -> list[set[int]]:
        found: list[set[int]] = [set() for _ in self.of(bases[0])]
        for base in bases:
            for gene, changed in self._neighbours(base):
                for genes, before, after in zip(found, self.of(base), self.of(changed), strict=True):
                    if before != after:
                        genes.add(gene)
        return found

    def _neighbours(self, base: Codes) -> Iterator[tuple[int, Codes]]:
        for gene, count in enumerate(self.genes.counts):
            for value in range(count):
                changed = base.copy()
                changed[gene] = value
                yield gene, self.genes.canonical(changed[None])[0]

    def _strange(self, found: list[set[int]], rows: Codes) -> "_Strange | None":
        """Two subnets that agree in all the genes of a part, and yet differ in it."""
        first: dict[tuple[int, bytes], Codes] = {}
        for row in rows:
            for part, (genes, keys) in enumerate(zip(found, self.of(row), strict=True)):
                other = first.setdefault((part, row[sorted(genes)].tobytes()), row)
                if self.of(other)[part] != keys:
                    return _Strange(part, row, other)
        return None

    def _between(self, part: int, one: Codes, other: Codes) -> Iterator[int]:
        """The genes that change a part on the way from one subnet to another: at least one, where the part differs."""
        here = one.copy()
        for gene in np.flatnonzero(one != other).tolist():
            before = self.of(self.genes.canonical(here[None])[0])[part]
            here[gene] = other[gene]
            if self.of(self.genes.canonical(here[None])[0])[part] != before:
                yield gene

    def strides(self, genes: NDArray[np.int64]) -> NDArray[np.int64]:
        """What numbers the combinations of some genes, one after the other."""
        return np.concatenate(([1], np.cumprod(self.genes.counts[genes])[:-1]))[: len(genes)].astype(np.int64)

    def collect(self, rows: Codes) -> None:
        """See the layers of some subnets."""
        for row in rows:
            self.of(row)


def _cut(plan: Plan, shape: Shape) -> list[list[tuple[Layer, Shape]]]:
    """The layers that run, by part; a block that does not run is an empty part."""
    found: list[list[tuple[Layer, Shape]]] = [[]]
    for layer in plan:
        if isinstance(layer, LayerSelect):
            for i, block in enumerate(layer.blocks):
                found.append(list(works(block, shape)) if i in layer.kept else [])
                shape = output_shape(block, shape) if i in layer.kept else shape
            found.append([])
        else:
            found[-1] += works((layer,), shape)
            shape = output_shape((layer,), shape)
    return found


@dataclass
class Cost:
    """A sum over the layers of a subnet, by part and its genes. `price` is of one layer."""

    parts: Parts
    price: Callable[[Work], float]
    _priced: dict[tuple[int, int], float] = field(default_factory=dict)

    def __call__(self, codes: Codes) -> Numbers:
        """The cost (n,) of subnets."""
        total = np.zeros(len(codes))
        for part, genes in enumerate(self.parts.genes_of):
            total += self._of_part(part, genes, codes)
        return total

    def _of_part(self, part: int, genes: NDArray[np.int64], codes: Codes) -> Numbers:
        combination = codes[:, genes] @ self.parts.strides(genes)
        found, first, inverse = np.unique(combination, return_index=True, return_inverse=True)
        prices = [self._price(part, code, codes[row]) for code, row in zip(found.tolist(), first.tolist(), strict=True)]
        return np.array(prices)[inverse]

    def _price(self, part: int, combination: int, row: Codes) -> float:
        if (price := self._priced.get((part, combination))) is None:
            keys = self.parts.of(row)[part]
            price = self._priced[part, combination] = float(sum(self.price(self.parts.seen[key]) for key in keys))
        return price
