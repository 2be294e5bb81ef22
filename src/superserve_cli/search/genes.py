"""Subnets as rows of small integers, so that thousands are sampled, crossed and priced at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import Dimension, Point, Space

Codes = NDArray[np.int16]
"""Subnets (n, genes): at each place of each dimension, one after the other, the index of its value."""
Numbers = NDArray[np.float64]


class _Gated(NamedTuple):
    """A gene that only has a meaning where another one is at least `least`, an index of its values."""

    gene: int
    by: int
    least: int


@dataclass(frozen=True)
class Genes:
    """A space as genes. Every row that comes out is canonical, as ids are: what does not run is at its first value."""

    space: Space

    @cached_property
    def places(self) -> tuple[tuple[Dimension, int], ...]:
        """The dimension of each gene, and the place in it."""
        return tuple((d, place) for d in self.space.dimensions for place in range(d.count))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many values each gene has."""
        return np.array([len(d.values) for d, _ in self.places])

    @cached_property
    def _gated(self) -> tuple[_Gated, ...]:
        index = {(d.name, place): i for i, (d, place) in enumerate(self.places)}
        values = {d.name: d.values for d in self.space.dimensions}
        gates = [(i, d.gates[place] if d.gates else None) for i, (d, place) in enumerate(self.places)]
        return tuple(
            _Gated(i, index[gate.dimension, gate.place], sum(value < gate.least for value in values[gate.dimension]))
            for i, gate in gates
            if gate is not None
        )

    def canonical(self, codes: Codes) -> Codes:
        """The same subnets with what does not run at its first value."""
        return np.where(self.used(codes), codes, 0).astype(np.int16)

    def used(self, codes: Codes) -> NDArray[np.bool_]:
        """Which genes (n, genes) have a meaning."""
        used = np.ones(codes.shape, bool)
        for gated in self._gated:
            used[:, gated.gene] = codes[:, gated.by] >= gated.least
        return used

    def indicators(self, codes: Codes, dimension: str | None = None) -> Numbers:
        """A column for each value of each gene, of a dimension or of all: 1 where it has the value and a meaning, else 0."""
        used = self.used(codes)
        genes = [i for i, (d, _) in enumerate(self.places) if dimension in (None, d.name)]
        return np.stack([(codes[:, i] == value) & used[:, i] for i in genes for value in range(self.counts[i])], axis=1).astype(float)

    def encode(self, subnets: Iterable[Subnet]) -> Codes:
        """The rows of ids; raises BadOption for one outside the space."""
        return np.array([self._row(self.space.parse(subnet)) for subnet in subnets], np.int16).reshape(-1, len(self.places))

    def _row(self, point: Point) -> list[int]:
        return [d.values.index(value) for d in self.space.dimensions for value in point[d.name]]

    def decode(self, codes: Codes) -> list[Subnet]:
        """The ids of rows."""
        return [self.space.subnet(self._settings(row)) for row in codes.tolist()]

    def _settings(self, row: list[int]) -> dict[str, tuple[float, ...]]:
        genes = iter(row)
        return {d.name: tuple(d.values[next(genes)] for _ in range(d.count)) for d in self.space.dimensions}

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """`n` subnets, each setting drawn uniformly and independently; repetitions may occur."""
        return self.canonical(rng.integers(self.counts, size=(n, len(self.counts))).astype(np.int16))

    def cross(self, ones: Codes, others: Codes, rng: np.random.Generator) -> Codes:
        """Children that take each single setting from one of two parents, with equal chances."""
        return self.canonical(np.where(rng.random(ones.shape) < 0.5, ones, others))

    def mutate(self, codes: Codes, chance: Numbers | float, rng: np.random.Generator) -> Codes:
        """The subnets with each single setting drawn anew with a chance, one for all or (n, 1)."""
        drawn = rng.integers(self.counts, size=codes.shape)
        return self.canonical(np.where(rng.random(codes.shape) < chance, drawn, codes))

    def all(self) -> Codes:
        """Every subnet of the space, once."""
        return self.encode(self.space.enumerate())

    @cached_property
    def extremes(self) -> Codes:
        """The smallest and the largest subnet."""
        return self.encode((self.space.smallest, self.space.largest))


def distinct(codes: Codes) -> Codes:
    """The same subnets, each once."""
    return np.unique(codes, axis=0)
