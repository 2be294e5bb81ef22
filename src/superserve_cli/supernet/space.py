from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product, repeat
from math import prod
from typing import Any, NamedTuple

import numpy as np

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption

Values = tuple[float, ...]


class Gate(NamedTuple):
    """When a place has a meaning: another dimension is set to at least `least` at its place `place`."""

    dimension: str
    place: int
    least: float


@dataclass(frozen=True, slots=True)
class Dimension:
    """One elastic dimension: `count` settings, each one of `values` (ascending, so that the last is the largest).

    `codes` has a character for each value, where ids would be long without; `gates` has a Gate for each place that only some
    settings of another dimension use, else None. A place that is not used is set to the first value: a subnet has one id.
    """

    letter: str
    name: str
    values: Values
    count: int = 1
    codes: str = ""
    gates: tuple[Gate | None, ...] = ()

    def text(self, settings: Values) -> str:
        """The part of a subnet's id that says how this dimension is set: `d122`, `w0.75`."""
        return self.letter + self.separator.join(self.words[value] for value in settings)

    @property
    def words(self) -> dict[float, str]:
        """How each value is written in an id."""
        return {value: self.codes[i] if self.codes else f"{value:g}" for i, value in enumerate(self.values)}

    @property
    def separator(self) -> str:
        """Nothing between settings of one digit, else an underscore."""
        return "" if self.count == 1 or all(len(word) == 1 for word in self.words.values()) else "_"

    def parse(self, part: str, where: str) -> Values:
        """The settings that a part of an id names; raises BadOption."""
        body = part.removeprefix(self.letter)
        words = [body] if self.count == 1 else body.split("_") if self.separator else list(body)
        named = {word: value for value, word in self.words.items()}
        if part == body or len(words) != self.count or not set(words) <= set(named):
            raise BadOption(f"{where}: {self.name} is {part!r}", hint=self.allowed)
        return tuple(named[word] for word in words)

    def used(self, place: int, settings: Mapping[str, Values]) -> bool:
        """Whether a place has a meaning, given how the other dimensions are set."""
        gate = self.gates[place] if self.gates else None
        return gate is None or settings[gate.dimension][gate.place] >= gate.least

    @property
    def allowed(self) -> str:
        """What this dimension may be set to, as a sentence."""
        times = "" if self.count == 1 else f"{self.count} times "
        values = ", ".join(word if word == f"{value:g}" else f"{word} ({value:g})" for value, word in self.words.items())
        return f"{self.name} is {self.letter!r} and {times}one of {values}"


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

    @property
    def size(self) -> int:
        """How many subnets there are; `len` cannot say it where they are more than 2**63."""
        gating = [d for d in self.dimensions if any(gate and gate.dimension == d.name for e in self.dimensions for gate in e.gates)]
        others = [d for d in self.dimensions if d not in gating]
        return sum(
            prod(len(d.values) for d in others for place in range(d.count) if d.used(place, settings)) for settings in _settings(gating)
        )

    def parse(self, subnet: Subnet) -> Point:
        """The point that an id names; raises BadOption, which says the dimension that is wrong and what it may be."""
        parts = subnet.split("-")
        if len(parts) != len(self.dimensions):
            form = "-".join(d.letter + "." * d.count for d in self.dimensions)
            raise BadOption(f"subnet {subnet!r} does not have {len(self.dimensions)} parts", hint=f"{self.example}; the form is {form}")
        where = f"subnet {subnet!r}"
        settings = {d.name: d.parse(part, where) for d, part in zip(self.dimensions, parts, strict=True)}
        if (canonical := self.subnet(settings)) != subnet:
            raise BadOption(f"{where} sets what does not run at its depth", hint=f"the same subnet is called {canonical}")
        return Point(subnet, settings)

    def subnet(self, settings: Mapping[str, Values]) -> Subnet:
        """The id of settings by dimension; those that are not used do not matter."""
        parts = []
        for d in self.dimensions:
            values = (value if d.used(place, settings) else d.values[0] for place, value in enumerate(settings[d.name]))
            parts.append(d.text(tuple(values)))
        return "-".join(parts)

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
        for settings in _settings(self.dimensions):
            if all(map(self._canonical, self.dimensions, repeat(settings))):
                yield self.subnet(settings)

    @staticmethod
    def _canonical(dimension: Dimension, settings: Mapping[str, Values]) -> bool:
        values = enumerate(settings[dimension.name])
        return all(value == dimension.values[0] or dimension.used(place, settings) for place, value in values)

    def order(self, subnet: Subnet) -> tuple[Values, ...]:
        """A key that sorts ids as `enumerate` yields them."""
        return tuple(self.parse(subnet).settings.values())

    def sample(self, n: int, rng: np.random.Generator) -> list[Subnet]:
        """`n` subnets, each setting drawn uniformly and independently; repetitions may occur."""
        return [self.subnet({d.name: tuple(rng.choice(d.values, d.count).tolist()) for d in self.dimensions}) for _ in range(n)]

    def cross(self, one: Subnet, other: Subnet, rng: np.random.Generator) -> Subnet:
        """A child that takes each single setting from one of two subnets, with equal chances."""
        a, b = self.parse(one), self.parse(other)
        return self.subnet({d.name: _mixed(a[d.name], b[d.name], rng.random(d.count) < 0.5) for d in self.dimensions})

    def mutate(self, subnet: Subnet, chance: float, rng: np.random.Generator) -> Subnet:
        """A subnet with each single setting drawn anew with a chance."""
        point = self.parse(subnet)
        drawn = {d.name: tuple(rng.choice(d.values, d.count).tolist()) for d in self.dimensions}
        return self.subnet({d.name: _mixed(drawn[d.name], point[d.name], rng.random(d.count) < chance) for d in self.dimensions})

    @cached_property
    def largest(self) -> Subnet:
        """The subnet with every dimension at its last value."""
        return self.subnet({d.name: (d.values[-1],) * d.count for d in self.dimensions})

    @cached_property
    def smallest(self) -> Subnet:
        """The subnet with every dimension at its first value."""
        return self.subnet({d.name: (d.values[0],) * d.count for d in self.dimensions})

    @property
    def example(self) -> str:
        """A sentence that shows a valid id."""
        return f"a subnet of this SuperNet looks like {self.largest}"

    def to_json(self) -> list[dict[str, Any]]:
        """The dimensions as plain data, for readers that know no family."""
        return [
            {"letter": d.letter, "name": d.name, "values": list(d.values), "count": d.count, **({"codes": d.codes} if d.codes else {})}
            for d in self.dimensions
        ]


def _settings(dimensions: tuple[Dimension, ...] | list[Dimension]) -> Iterator[dict[str, Values]]:
    for settings in product(*(product(d.values, repeat=d.count) for d in dimensions)):
        yield dict(zip((d.name for d in dimensions), settings, strict=True))


def _mixed(one: Values, other: Values, first: "np.ndarray[Any, np.dtype[np.bool_]]") -> Values:
    return tuple(a if of_one else b for a, b, of_one in zip(one, other, first, strict=True))
