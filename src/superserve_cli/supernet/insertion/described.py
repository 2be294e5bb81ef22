"""Plans as plain JSON: an object per layer, its kind under `layer`, its weights as `layer1.0.conv1.weight[0:64, 0:64, 0:1, 0:1]`.

Fields that have their default value are left out, so that layers may get new fields and old files stay readable. Reading is strict:
an unknown layer, field or type is refused with the place where it stands.
"""

import re
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from superserve_cli.errors import BadFile
from superserve_cli.supernet.layers import Layer, Plan, TransformedKernel, WeightSlice

KINDS: Final[dict[str, type]] = {kind.__name__: kind for kind in (*get_args(Layer), TransformedKernel)}
RANGE: Final = re.compile(r"(\d+):(\d+)(?::(\d+))?")
HINT: Final = "the file was changed by hand, or by another version of superserve"


def plan_to_json(plan: Plan) -> list[dict[str, Any]]:
    """A plan as plain data."""
    return [_written(layer) for layer in plan]


def plan_from_json(described: Any, where: str = "layers") -> Plan:
    """The plan of plain data; raises BadFile, which names the place of what is wrong, such as `layers[3].stride`."""
    return tuple(_read(Layer, each, f"{where}[{i}]") for i, each in enumerate(_listed(described, where)))


def slice_to_text(weight: WeightSlice) -> str:
    """A weight slice as Python writes one."""
    ranges = (f"{r.start}:{r.stop}" + (f":{r.step}" if r.step != 1 else "") for r in weight.ranges)
    return f"{weight.parameter}[{', '.join(ranges)}]"


def slice_from_text(text: str, where: str) -> WeightSlice:
    """The weight slice of its text; raises BadFile."""
    parameter, _, rest = text.rpartition("[")
    found = [RANGE.fullmatch(part) for part in rest.removesuffix("]").split(", ")]
    ranges = tuple(range(int(f[1]), int(f[2]), int(f[3] or 1)) for f in found if f and f[3] != "0")
    if not parameter or not rest.endswith("]") or len(ranges) != len(found) or not all(ranges):
        raise BadFile(f"{where}: {text!r} is no slice of a parameter", hint="one looks like conv1.weight[0:64, 0:3, 0:7, 0:7]")
    return WeightSlice(parameter, ranges)


def _written(value: Any) -> Any:
    if isinstance(value, WeightSlice):
        return slice_to_text(value)
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    if not is_dataclass(value):
        return value
    own = {field.name: getattr(value, field.name) for field in fields(value)}
    told = {field.name for field in fields(value) if own[field.name] != field.default}
    return {"layer": type(value).__name__, **{name: _written(each) for name, each in own.items() if name in told}}


def _read(hint: Any, value: Any, where: str) -> Any:
    """The value of a type that JSON stands for."""
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint), value, where)
    allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if isinstance(value, str) and WeightSlice in allowed:
        return slice_from_text(value, where)
    if isinstance(value, dict):
        return _object(allowed, value, where)
    if not any(_fits(value, each) for each in allowed):
        raise BadFile(f"{where} is {value!r}", hint=_wanted(allowed))
    return float(value) if float in allowed and value is not None else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is one of a type."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    return type(value) is hint or (hint is float and type(value) is int)


def _tuple(elements: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    listed = _listed(value, where)
    if elements[-1] is Ellipsis:
        elements = (elements[0],) * len(listed)
    return tuple(_read(hint, each, f"{where}[{i}]") for i, (hint, each) in enumerate(zip(elements, listed, strict=True)))


def _listed(value: Any, where: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise BadFile(f"{where} is {value!r}, not a list", hint=HINT)
    return value


def _object(allowed: tuple[Any, ...], value: dict[str, Any], where: str) -> Any:
    name = value.get("layer")
    here = {each: kind for each, kind in KINDS.items() if kind in allowed}
    if name not in here:
        raise BadFile(f"{where} is {name!r}, which is no layer that can stand there", hint=f"known are {', '.join(here)}" if here else HINT)
    kind, known = here[name], {field.name: field for field in fields(here[name])}
    if strange := sorted(value.keys() - known.keys() - {"layer"}):
        raise BadFile(f"{where}: {name} has no field {strange[0]!r}", hint=f"its fields are {', '.join(known)}")
    if absent := [field for field in known if field not in value and known[field].default is MISSING]:
        raise BadFile(f"{where}: {name} lacks the field {absent[0]!r}", hint=HINT)
    hints = _hints(kind)
    return kind(**{field: _read(hints[field], value[field], f"{where}.{field}") for field in known if field in value})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _wanted(allowed: tuple[Any, ...]) -> str:
    words = [" or ".join(map(repr, get_args(each))) if get_origin(each) is Literal else each.__name__ for each in allowed]
    return f"it should be {' or '.join(words)}"
