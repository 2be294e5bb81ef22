"""Where the load goes: one model of one server, asked about itself before the first request."""

import http.client
import json
import re
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from superserve_cli.errors import BadOption, SuperserveError, Unknown, Unreachable

PATIENCE_S: Final = 5.0
MOST: Final = 2**53
"""Numbers beyond it are mistakes; NaN and infinity are no smaller."""
PAUSE_S: Final = 0.2
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
START: Final = "start one with `superserve serve`, or check --target"
NAME_ONE: Final = "name one: --target http://HOST:PORT/v2/models/NAME"
PATH: Final = re.compile(r"(?P<prefix>.*?)(?:/v2(?:/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/infer)?)?)?/*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """A server's URL, taken apart; `prefix` is what stands before `/v2`."""

    host: str
    port: int
    tls: bool
    prefix: str
    model: str
    version: str

    @property
    def authority(self) -> str:
        """Host and port, as the Host header wants them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"http{'s' * self.tls}://{self.authority}{self.prefix}"


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one server: the numeric address that answered, what to post where, and what the server says of itself.

    `shape` is the input's, the first dimension (rows) left out, -1 where it varies; `binary` whether tensors may travel as bytes.
    """

    place: Place
    address: str
    path: str
    input: str
    datatype: str
    shape: tuple[int, ...]
    binary: bool
    description: dict[str, Any]


def describe(target: str, model: str | None = None) -> dict[str, Any]:
    """What a server says of its model: the metadata's `parameters`, with `model`, `server`, `platform` and `url` beside them.

    Of our own server the parameters name task, seed, supernet, profile, policy, late, workers, slo_us and the subnets; other
    servers may say nothing. Raises Unreachable when nothing answers, when it is not this protocol, when it is not ready.
    """
    return find(target, model).description


def wait(target: str, patience_s: float) -> None:
    """Come back when the server at `target` is ready; raises Unreachable when it still is not after so many seconds, BadOption for NaN."""
    if not patience_s >= 0:
        raise BadOption(f"{patience_s:g} seconds is no time to wait", hint="give a number of at least 0")
    end = time.monotonic() + patience_s
    while True:
        try:
            find(target)
        except Unreachable:
            if time.monotonic() >= end:
                raise
            time.sleep(PAUSE_S)
        else:
            return


def find(target: str, model: str | None = None) -> Target:
    """The model that a URL names (or the only one that the server has); raises Unreachable, Unknown and BadOption."""
    place = parse(target)
    ready, address = _get(place, "/v2/health/ready")
    _must_be_ready(place, *ready)
    server = _must_be_v2(place, "/v2")
    name = model or place.model or _only_model(place)
    version = f"/versions/{quote(place.version)}" if place.version else ""
    path = f"/v2/models/{quote(name)}{version}"
    metadata = _metadata(place, path, name)
    tensor, datatype, shape = _only_input(metadata, name)
    said, extensions = metadata.get("parameters"), server.get("extensions")
    return Target(
        place=place,
        address=address,
        path=f"{place.prefix}{path}/infer",
        input=tensor,
        datatype=datatype,
        shape=shape,
        binary=isinstance(extensions, list) and "binary_tensor_data" in extensions,
        description={
            **(_understood(said) if isinstance(said, dict) else {}),
            "url": str(place),
            "model": name,
            "platform": str(metadata.get("platform", "")),
            "server": f"{server.get('name', '')} {server.get('version', '')}".strip(),
        },
    )


def _understood(said: dict[str, Any]) -> dict[str, Any]:
    """What a server says of its model, less what cannot mean what our own server means by it."""
    return {name: value for name, value in said.items() if name not in KINDS or _is(value, KINDS[name])}


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and not (isinstance(value, int | float) and not 0 <= value < MOST)


def parse(target: str) -> Place:
    """A URL taken apart; raises BadOption for what is no http(s) URL."""
    try:
        url = urlsplit(target)
        port = url.port
    except ValueError as error:
        raise BadOption(f"--target {target} is no URL: {error}", hint="write http://HOST:PORT") from None
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise BadOption(f"--target {target} is no http URL", hint="write http://HOST:PORT or http://HOST:PORT/v2/models/NAME")
    prefix, model, version = (part or "" for part in _matched(url.path))
    tls = url.scheme == "https"
    return Place(url.hostname, port or (443 if tls else 80), tls, prefix, unquote(model), unquote(version))


def _matched(path: str) -> tuple[str | None, ...]:
    found = PATH.fullmatch(path)
    return found.groups() if found else (path, None, None)


def _get(place: Place, path: str, method: str = "GET") -> tuple[tuple[int, Any], str]:
    """Status and JSON (None when it is none) of one call, and the numeric address that answered."""
    connection = _connection(place)
    try:
        connection.connect()
        address = str(connection.sock.getpeername()[0])
        connection.request(method, place.prefix + path, body=None if method == "GET" else b"{}", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return (answer.status, _json(answer.read())), address
    except OSError as error:
        raise Unreachable(f"nothing answers at {place}: {error.strerror or error}", hint=START) from error
    except http.client.HTTPException as error:
        raise Unreachable(f"what answers at {place} is no HTTP server ({type(error).__name__})", hint=START) from error
    finally:
        connection.close()


def _connection(place: Place) -> http.client.HTTPConnection:
    if place.tls:
        return http.client.HTTPSConnection(place.host, place.port, timeout=PATIENCE_S, context=ssl.create_default_context())
    return http.client.HTTPConnection(place.host, place.port, timeout=PATIENCE_S)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _must_be_ready(place: Place, status: int, said: Any) -> None:
    if status in (404, 405, 501):
        raise _not_v2(place, "/v2/health/ready", status)
    if status != 200 or (isinstance(said, dict) and said.get("ready") is False):
        raise Unreachable(f"the server at {place} is not ready (status {status})", hint="wait until /v2/health/ready answers 200")


def _must_be_v2(place: Place, path: str) -> dict[str, Any]:
    (status, said), _ = _get(place, path)
    if status != 200 or not isinstance(said, dict) or "name" not in said:
        raise _not_v2(place, path, status)
    return said


def _not_v2(place: Place, path: str, status: int) -> Unreachable:
    return Unreachable(f"the server at {place} does not speak the Open Inference Protocol v2 (GET {path}: status {status})", hint=START)


def _only_model(place: Place) -> str:
    names = _models(place)
    if len(names) == 1:
        return names[0]
    if names:
        raise BadOption(f"{place} serves several models: {', '.join(names)}", hint=NAME_ONE)
    raise BadOption(f"{place} does not say which models it serves", hint=NAME_ONE)


def _models(place: Place) -> list[str]:
    """The names that a server lists: by the model repository extension, or as KServe does."""
    (status, index), _ = _get(place, "/v2/repository/index", "POST")
    if status == 200 and isinstance(index, list):
        return [str(entry["name"]) for entry in index if isinstance(entry, dict) and "name" in entry]
    (status, said), _ = _get(place, "/v2/models")
    listed = said.get("models") if status == 200 and isinstance(said, dict) else None
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _metadata(place: Place, path: str, name: str) -> dict[str, Any]:
    (status, said), _ = _get(place, path)
    if status == 200 and isinstance(said, dict) and isinstance(said.get("inputs"), list):
        return said
    if names := _models(place):
        raise Unknown(f"model at {place} named", name, names)
    raise Unreachable(f"{place} tells nothing of the model {name} (GET {path}: status {status})", hint=NAME_ONE)


def _only_input(metadata: dict[str, Any], name: str) -> tuple[str, str, tuple[int, ...]]:
    inputs = metadata["inputs"]
    if len(inputs) != 1:
        raise SuperserveError(f"the model {name} takes {len(inputs)} inputs; load can be made for models with one", hint=NAME_ONE)
    try:
        return str(inputs[0]["name"]), str(inputs[0]["datatype"]), tuple(int(n) for n in inputs[0]["shape"][1:])
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable(f"the metadata of the model {name} does not describe its input: {inputs[0]}", hint=NAME_ONE) from error
