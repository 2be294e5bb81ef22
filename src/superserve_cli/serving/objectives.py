"""What a request asks for besides its answer: how soon, how accurate, by which subnet."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from superserve_cli.core.nouns import NS_PER_US, Subnet
from superserve_cli.serving.refusals import Invalid

LONGEST_SLO_US: Final = 24 * 3600 * 1_000_000
LARGEST_PRIORITY: Final = 2**64 - 1
SLO_PARAMETERS: Final = ("timeout", "slo_us")
SLOS: Final = frozenset(SLO_PARAMETERS)
SLO_HEADER: Final = b"x-superserve-slo-us"
FLOOR_HEADER: Final = b"x-superserve-min-accuracy"
SUBNET_HEADER: Final = b"x-superserve-subnet"
HEADERS: Final = frozenset((SLO_HEADER, FLOOR_HEADER, SUBNET_HEADER))
T = TypeVar("T")
NOT_SUPPORTED: Final = frozenset(("sequence_id", "sequence_start", "sequence_end"))
"""Parameters that change the meaning of a request, so that ignoring them would be a lie."""
RARE: Final = frozenset((*NOT_SUPPORTED, "min_accuracy", "subnet", "priority"))
"""Those that most requests do without."""


class Goal(NamedTuple):
    """What a request asks for: `priority` 1 is the highest, and 0 that of those who name none."""

    slo_ns: int
    min_accuracy: float = 0.0
    subnet: Subnet | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Objectives:
    """The rules for reading them, and the SLO of requests that name none."""

    default_slo_ns: int
    _default: Goal = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_default", Goal(self.default_slo_ns))

    def read(self, parameters: Mapping[str, Any], headers: Mapping[bytes, bytes], version: str = "") -> Goal:
        """All of them, `version` being the one in the request's URL; raises Invalid when they make no sense or disagree."""
        if not version and RARE.isdisjoint(parameters) and HEADERS.isdisjoint(headers):
            return self._default if SLOS.isdisjoint(parameters) else Goal(self.slo_ns(parameters, headers))
        if not NOT_SUPPORTED.isdisjoint(parameters):
            raise Invalid(f"the parameter {min(NOT_SUPPORTED & parameters.keys())!r} is not supported")
        floor = self.min_accuracy(parameters, headers)
        return Goal(self.slo_ns(parameters, headers), floor, _subnet(parameters, headers, version), _priority(parameters))

    def slo_ns(self, parameters: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> int:
        """`timeout` or `slo_us` (integer microseconds), or the header; raises Invalid when they make no sense or disagree."""
        found = {name: _microseconds(name, parameters[name]) for name in SLO_PARAMETERS if name in parameters}
        if SLO_HEADER in headers:
            found[SLO_HEADER.decode()] = _microseconds(SLO_HEADER.decode(), _integer(headers[SLO_HEADER]))
        return _agreed(found, self.default_slo_ns // NS_PER_US) * NS_PER_US if found else self.default_slo_ns

    def min_accuracy(self, parameters: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> float:
        """`min_accuracy` (0..1, a number or its text) or the header, 0 for no floor; raises Invalid."""
        found = {"min_accuracy": _accuracy(parameters["min_accuracy"])} if "min_accuracy" in parameters else {}
        if FLOOR_HEADER in headers:
            found[FLOOR_HEADER.decode()] = _accuracy(headers[FLOOR_HEADER].decode("latin-1"))
        return _agreed(found, 0.0)


def _subnet(parameters: Mapping[str, Any], headers: Mapping[bytes, bytes], version: str) -> Subnet | None:
    """`subnet`, the header or the version, None where nobody names one."""
    found: dict[str, Subnet | None] = {"version": version} if version else {}
    if "subnet" in parameters:
        found["subnet"] = _name(parameters["subnet"])
    if SUBNET_HEADER in headers:
        found[SUBNET_HEADER.decode()] = _name(headers[SUBNET_HEADER].decode("utf-8", "replace"))
    return _agreed(found, None)


def _priority(parameters: Mapping[str, Any]) -> int:
    priority = parameters.get("priority", 0)
    if type(priority) is not int or not 0 <= priority <= LARGEST_PRIORITY:
        raise Invalid(f"priority must be an integer of at least 0 (1 is the highest), not {_shown(priority)}")
    return priority


def _agreed(found: Mapping[str, T], default: T) -> T:
    if len(set(found.values())) > 1:
        raise Invalid(f"{' and '.join(f'{name}={value}' for name, value in found.items())} disagree")
    return next(iter(found.values()), default)


def _integer(text: bytes) -> object:
    return int(text) if text.isdigit() and len(text) < 20 else text.decode("latin-1")


def _microseconds(name: str, value: object) -> int:
    if type(value) is not int or not 0 < value <= LONGEST_SLO_US:
        raise Invalid(f"{name} must be an integer of 1 to {LONGEST_SLO_US} microseconds, not {_shown(value)}")
    return value


def _accuracy(value: object) -> float:
    try:
        floor = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        floor = math.nan
    if not 0 <= floor <= 1:
        raise Invalid(f"min_accuracy must be a number of 0 to 1, not {_shown(value)}")
    return floor


def _name(value: object) -> Subnet:
    if not isinstance(value, str) or not value:
        raise Invalid(f"subnet must be the name of one, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """A value in a message, whatever its size."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number of many digits"  # which Python would not write out
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
