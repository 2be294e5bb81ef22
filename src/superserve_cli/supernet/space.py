from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One elastic dimension: `count` settings, each one of `values` (ascending, so that the last is the largest)."""

    letter: str
    name: str
    values: Values
    count: int = 1

    def text(self, settings: Values) -> str:
        """The part of a subnet's id that says how this dimension is set: `d122`, `w0.75`."""
        words = [f"{value:g}" for value in settings]
        return self.letter + self.separator.join(words)

    @property
    def separator(self) -> str:
        """Nothing between settings of one digit, else an underscore."""
        return "" if self.count == 1 or all(len(f"{value:g}") == 1 for value in self.values) else "_"

    def parse(self, part: str, where: str) -> Values:
        """The settings that a part of an id names; raises BadOption."""
        body = part.removeprefix(self.letter)
        words = [body] if self.count == 1 else body.split("_") if self.separator else list(body)
        named = {f"{value:g}": value for value in self.values}
        if part == body or len(words) != self.count or not set(words) <= set(named):
            raise BadOption(f"{where}: {self.name} is {part!r}", hint=self.allowed)
        return tuple(named[word] for word in words)

    @property
    def allowed(self) -> str:
        """What this dimension may be set to, as a sentence."""
        times = "" if self.count == 1 else f"{self.count} times "
        return f"{self.name} is {self.letter!r} and {times}one of {', '.join(f'{v:g}' for v in self.values)}"


@dataclass(frozen=True)
class Point:
    """One point of a space: what each dimension is set to, as `point["width"]` or `point["depth"]` (a tuple, one per place)."""

    id: Subnet
    settings: Mapping[str, Values]

    def __getitem__(self, dimension: str) -> Values:
        return self.settings[dimension]


@dataclass(frozen=True)
class Space:
    """The elastic dimensions of a SuperNet. A subnet outside knows only its id; `parse` gives the point that it names."""

    dimensions: tuple[Dimension, ...]

    def __len__(self) -> int:
        return prod(len(d.values) ** d.count for d in self.dimensions)

    def parse(self, subnet: Subnet) -> Point:
        """The point that an id names; raises BadOption, which says the dimension that is wrong and what it may be."""
        parts = subnet.split("-")
        if len(parts) != len(self.dimensions):
            form = "-".join(d.letter + "." * d.count for d in self.dimensions)
            raise BadOption(f"subnet {subnet!r} does not have {len(self.dimensions)} parts", hint=f"{self.example}; the form is {form}")
        where = f"subnet {subnet!r}"
        return Point(subnet, {d.name: d.parse(part, where) for d, part in zip(self.dimensions, parts, strict=True)})

    def validate(self, subnet: Subnet) -> Subnet:
        """The id itself when it names a point; raises BadOption as `parse` does."""
        return self.parse(subnet).id

    def __contains__(self, subnet: object) -> bool:
        try:
            return isinstance(subnet, str) and bool(self.parse(subnet))
        except BadOption:
            return False

    def enumerate(self) -> Iterator[Subnet]:
        """Every subnet, the first dimension varying slowest."""
        for settings in product(*(product(d.values, repeat=d.count) for d in self.dimensions)):
            yield self._id(settings)

    def sample(self, n: int, rng: np.random.Generator) -> list[Subnet]:
        """`n` subnets, each setting drawn uniformly and independently; repetitions may occur."""
        return [self._id([tuple(rng.choice(d.values, d.count).tolist()) for d in self.dimensions]) for _ in range(n)]

    def cross(self, one: Subnet, other: Subnet, rng: np.random.Generator) -> Subnet:
        """A child that takes each single setting from one of two subnets, with equal chances."""
        a, b = self.parse(one), self.parse(other)
        return self._id([_mixed(a[d.name], b[d.name], rng) for d in self.dimensions])

    @cached_property
    def largest(self) -> Subnet:
        """The subnet with every dimension at its last value."""
        return self._id([(d.values[-1],) * d.count for d in self.dimensions])

    @cached_property
    def smallest(self) -> Subnet:
        """The subnet with every dimension at its first value."""
        return self._id([(d.values[0],) * d.count for d in self.dimensions])

    @property
    def example(self) -> str:
        """A sentence that shows a valid id."""
        return f"a subnet of this SuperNet looks like {self.largest}"

    def to_json(self) -> list[dict[str, Any]]:
        """The dimensions as plain data, for readers that know no family."""
        return [{"letter": d.letter, "name": d.name, "values": list(d.values), "count": d.count} for d in self.dimensions]

    def _id(self, settings: tuple[Values, ...] | list[Values]) -> Subnet:
        return "-".join(d.text(values) for d, values in zip(self.dimensions, settings, strict=True))


def _mixed(one: Values, other: Values, rng: np.random.Generator) -> Values:
    return tuple(a if first else b for a, b, first in zip(one, other, rng.random(len(one)) < 0.5, strict=True))
