"""What a request asks for besides its answer: how soon, and how accurate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from superserve_cli.core.nouns import NS_PER_US
from superserve_cli.serving.refusals import Invalid

LONGEST_SLO_US: Final = 24 * 3600 * 1_000_000
SLO_PARAMETERS: Final = ("timeout", "slo_us")
SLO_HEADER: Final = b"x-superserve-slo-us"
FLOOR_HEADER: Final = b"x-superserve-min-accuracy"
NOT_SUPPORTED: Final = frozenset(("subnet", "sequence_id", "sequence_start", "sequence_end"))
"""Parameters that change the meaning of a request, so that ignoring them would be a lie."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """The rules for reading them, and the SLO of requests that name none."""

    default_slo_ns: int

    def slo_ns(self, parameters: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> int:
        """`timeout` or `slo_us` (integer microseconds), or the header; raises Invalid when they make no sense or disagree."""
        if not NOT_SUPPORTED.isdisjoint(parameters):
            raise Invalid(f"the parameter {min(NOT_SUPPORTED & parameters.keys())!r} is not supported")
        found = {name: _microseconds(name, parameters[name]) for name in SLO_PARAMETERS if name in parameters}
        if SLO_HEADER in headers:
            found[SLO_HEADER.decode()] = _microseconds(SLO_HEADER.decode(), _integer(headers[SLO_HEADER]))
        if not found:
            return self.default_slo_ns
        if len(set(found.values())) > 1:
            raise Invalid(f"{' and '.join(f'{name}={value}' for name, value in found.items())} disagree")
        return next(iter(found.values())) * NS_PER_US

    def min_accuracy(self, parameters: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> float:
        """`min_accuracy` (0..1, a number or its text) or the header, 0 for no floor; raises Invalid."""
        found = [_accuracy(parameters["min_accuracy"])] if "min_accuracy" in parameters else []
        if FLOOR_HEADER in headers:
            found.append(_accuracy(headers[FLOOR_HEADER].decode("latin-1")))
        if len(set(found)) > 1:
            raise Invalid(f"min_accuracy={found[0]:g} and {FLOOR_HEADER.decode()}={found[1]:g} disagree")
        return found[0] if found else 0.0


def _integer(text: bytes) -> object:
    return int(text) if text.isdigit() and len(text) < 20 else text.decode("latin-1")


def _microseconds(name: str, value: object) -> int:
    if type(value) is not int or not 0 < value <= LONGEST_SLO_US:
        raise Invalid(f"{name} must be an integer of 1 to {LONGEST_SLO_US} microseconds, not {value!r}")
    return value


def _accuracy(value: object) -> float:
    try:
        floor = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        floor = math.nan
    if not 0 <= floor <= 1:
        raise Invalid(f"min_accuracy must be a number of 0 to 1, not {value!r}")
    return floor
