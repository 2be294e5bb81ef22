"""What the families of Once-for-All share: rounded widths, inputs of several sizes, and subnets as its code writes them down."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from superserve_cli.errors import BadOption
from superserve_cli.supernet.layers import Conv, Norm, Plan, Resize, WeightSlice
from superserve_cli.supernet.space import Dimension, Point, Values

SIZES: Final = (128, 160, 192, 224)
"""To which sizes images of 224 x 224 are resized unless a SuperNet says otherwise; Once-for-All trains between the first and the last."""
CODES: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
Shape = tuple[int, int, int]


def conv_norm(conv: str, norm: str, out: int, before: int, kernel: int, stride: int = 1) -> Plan:
    """The first channels of a convolution without bias, and of the normalisation after it, by the names of their modules."""
    weight = WeightSlice.prefix(f"{conv}.weight", out, before, kernel, kernel)
    return Conv(weight, stride), scaled(norm, out)


def scaled(norm: str, channels: int) -> Norm:
    """The first channels of a normalisation, by the name of its module."""
    return Norm(WeightSlice.prefix(f"{norm}.weight", channels), WeightSlice.prefix(f"{norm}.bias", channels))


def sides(shape: Shape, resolutions: tuple[int, ...] | None) -> tuple[int, ...]:
    """To which sides images of a shape are resized, the full one last; none, where they never are."""
    if resolutions is None:
        return SIZES if shape[1:] == (SIZES[-1], SIZES[-1]) else ()
    return resolutions


def resolution(sizes: tuple[int, ...]) -> tuple[Dimension, ...]:
    """The elastic dimension of the input's size, where there is a choice."""
    return (Dimension("r", "resolution", sizes),) if sizes else ()


def resized(point: Point, shape: Shape) -> Plan:
    """What brings the input to a subnet's resolution: nothing, when it has it already."""
    side = int(point.settings.get("resolution", (shape[1],))[0])
    return () if side == shape[1] else (Resize(side),)


def check(shape: Shape, sizes: tuple[int, ...], counts: Sequence[int], elastic: Mapping[str, Values]) -> None:
    """Raises BadOption for settings that make no network."""
    if len(shape) != 3 or not all(isinstance(count, int) and count > 0 for count in (*shape, *counts)):
        raise BadOption(
            f"shape {list(shape)} and counts {list(counts)} make no network",
            hint="all are positive integers, the shape (3, 224, 224) or alike",
        )
    for name, values in elastic.items():
        if not values or list(values) != sorted(set(values)) or len(values) > len(CODES) or not all(value >= 0 for value in values):
            raise BadOption(f"{name} is {list(values)}", hint=f"name 1 to {len(CODES)} values in ascending order")
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != shape[1] or shape[1] != shape[2]):
        raise BadOption(
            f"resolutions is {list(sizes)}, of images of {shape[1]}x{shape[2]}",
            hint="name sides in ascending order, the last the images' own; or none",
        )


def settings(config: Mapping[str, Any], places: Mapping[str, tuple[int, Values]], sizes: tuple[int, ...]) -> dict[str, Values]:
    """The entries of a configuration of Once-for-All, a scalar at each place of its entry. `places`: how many there are, and the values.

    `r`, one of the sizes, is the full one when absent. An entry that is None is as good as absent. Raises BadOption for an entry that
    is missing, unknown, too long, or of a value that the SuperNet does not have.
    """
    given = {name: value for name, value in config.items() if value is not None}
    side = given.pop("r", sizes[-1:]) if sizes else ()
    if given.keys() != places.keys():
        raise BadOption(f"the configuration has {', '.join(given) or 'nothing'}", hint=f"this SuperNet's have {', '.join(places)}")
    return {"r": _entry("r", side, len(sizes[:1]), sizes), **{name: _entry(name, given[name], *places[name]) for name in places}}


def _entry(name: str, value: Any, count: int, allowed: Values) -> Values:
    found = tuple(value) if isinstance(value, Sequence) else (value,)
    found = found * count if len(found) == 1 else found
    if len(found) != count:
        raise BadOption(f"{name} has {len(found)} values", hint=f"give {count}, or one for all")
    for place, each in enumerate(found):
        if each not in allowed:
            raise BadOption(f"{name}[{place}] is {each!r}", hint=f"{name} is one of {', '.join(f'{v:g}' for v in allowed)}")
    return found
