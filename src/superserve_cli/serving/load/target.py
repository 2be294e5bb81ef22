"""Where the load goes: one model of one server, and how what it says of itself is read."""

import ssl
from dataclasses import dataclass
from typing import Any, Final

from superserve_cli.errors import BadOption, Unreachable
from superserve_cli.serving.load.place import Place

MOST: Final = 2**53
"""Numbers beyond it are mistakes; NaN and infinity are no smaller."""
KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "task": str,
    "seed": int,
    "policy": str,
    "late": str,
    "workers": int,
    "slo_us": int,
    "sustained_qps": (int, float),
    "versions": dict,
    "hardware": dict,
}
"""What our own server says of its model; in another's words the same names may mean something else."""
START: Final = "start one with `superserve serve`, or check the URL"
NAME_ONE: Final = "name one: --target http://HOST:PORT/v2/models/NAME or grpc://HOST:PORT/NAME"


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor that a model takes: `shape` without the rows, -1 where it varies.

    `stacked` is false where the number of rows is fixed as well; `shape` is then the whole of it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    stacked: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one server: the numeric address that answered, what to post where, and what the server says of itself.

    `path` is that of the inferences (HTTP); `binary` says whether tensors may travel as bytes.
    """

    place: Place
    address: str
    path: str
    model: str
    inputs: tuple[Input, ...]
    binary: bool
    description: dict[str, Any]


def silent(place: Place, error: OSError) -> Unreachable:
    """Nobody answers there; where somebody does, with a certificate that is not believed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(f"the certificate of {place} is not to be trusted: {error.verify_message}", hint="name its authority with --ca")
    return Unreachable(f"nothing answers at {place}: {error.strerror or error}", hint=START)


def locked(place: Place, why: str) -> Unreachable:
    """Somebody answers, and wants a key."""
    return Unreachable(f"the server at {place} does not let us in ({why})", hint="give its key: --api-key or SUPERSERVE_API_KEY")


def only_model(place: Place, names: list[str]) -> str:
    """The model that need not be named; raises BadOption where there are several, or none is known. An index may list each version."""
    names = list(dict.fromkeys(names))
    if len(names) == 1:
        return names[0]
    if names:
        raise BadOption(f"{place} serves several models: {', '.join(names)}", hint=NAME_ONE)
    raise BadOption(f"{place} does not say which models it serves", hint=NAME_ONE)


def read_inputs(name: str, said: list[Any]) -> tuple[Input, ...]:
    """A model's inputs, as its metadata lists them; raises Unreachable for what describes none."""
    if not said:
        raise Unreachable(f"the metadata of the model {name} names no input", hint="give the model its inputs, or choose another")
    try:
        return tuple(_input(str(one["name"]), str(one["datatype"]), [int(n) for n in one["shape"]]) for one in said)
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable(f"the metadata of the model {name} does not describe its input: {said[0]}", hint=NAME_ONE) from error


def _input(name: str, datatype: str, shape: list[int]) -> Input:
    stacked = bool(shape) and shape[0] == -1
    return Input(name, datatype, tuple(shape[1:] if stacked else shape), stacked)


def described(place: Place, name: str, metadata: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
    """What is known of a model and its server, less what cannot mean what our own server means by it."""
    said = metadata.get("parameters")
    return {
        **(_understood(said) if isinstance(said, dict) else {}),
        "url": str(place),
        "model": name,
        "platform": str(metadata.get("platform", "")),
        "server": f"{server.get('name', '')} {server.get('version', '')}".strip(),
    }


def _understood(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in KINDS or _is(value, KINDS[name])}


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and not (isinstance(value, int | float) and not 0 <= value < MOST)
