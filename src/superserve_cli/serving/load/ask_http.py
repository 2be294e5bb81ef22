"""What a server says of itself over HTTP."""

import http.client
import json
from typing import Any, Final
from urllib.parse import quote

from superserve_cli.errors import Unknown, Unreachable
from superserve_cli.serving.load.place import Access, Place
from superserve_cli.serving.load.target import NAME_ONE, START, Target, described, locked, only_model, read_inputs, silent
from superserve_cli.serving.load.wire import OK

PATIENCE_S: Final = 5.0
LOCKED: Final = (401, 403)


def find(place: Place, model: str | None, access: Access) -> Target:
    """The model that a URL names (or the only one that the server has); raises Unreachable, Unknown and BadOption."""
    ask = Asker(place, access)
    _must_be_ready(place, *ask("/v2/health/ready"))
    server = _server(ask)
    name = model or place.model or only_model(place, _models(ask))
    version = f"/versions/{quote(place.version)}" if place.version else ""
    path = f"/v2/models/{quote(name)}{version}"
    metadata = _metadata(ask, path, name)
    extensions = server.get("extensions")
    return Target(
        place=place,
        address=ask.address,
        path=f"{place.prefix}{path}/infer",
        model=name,
        inputs=read_inputs(name, metadata["inputs"]),
        binary=isinstance(extensions, list) and "binary_tensor_data" in extensions,
        description=described(place, name, metadata, server),
    )


class Asker:
    """Status and JSON (None when it is none) of single calls; `address` is the numeric one that answered."""

    def __init__(self, place: Place, access: Access) -> None:
        self.place = place
        self.address = ""
        self._tls = access.context(place)
        self._headers = {"Accept": "application/json", **access.headers}

    def __call__(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """Make one; raises Unreachable when nothing answers, or something that is no HTTP server."""
        connection = self._connection()
        try:
            connection.connect()
            self.address = str(connection.sock.getpeername()[0])
            connection.request(method, self.place.prefix + path, body=None if method == "GET" else b"{}", headers=self._headers)
            answer = connection.getresponse()
            return answer.status, _json(answer.read())
        except OSError as error:
            raise silent(self.place, error) from error
        except http.client.HTTPException as error:
            raise Unreachable(f"what answers at {self.place} is no HTTP server ({type(error).__name__})", hint=START) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self.place.host, self.place.port, timeout=PATIENCE_S, context=self._tls)
        return http.client.HTTPConnection(self.place.host, self.place.port, timeout=PATIENCE_S)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _must_be_ready(place: Place, status: int, said: Any) -> None:
    if status in (404, 405, 501):
        raise _not_v2(place, "/v2/health/ready", status)
    if status in LOCKED:
        raise locked(place, f"status {status}")
    if status != OK or (isinstance(said, dict) and said.get("ready") is False):
        raise Unreachable(f"the server at {place} is not ready (status {status})", hint="wait until /v2/health/ready answers 200")


def _server(ask: Asker) -> dict[str, Any]:
    """The server's metadata; the specification has it at `/v2/`, most servers at `/v2`."""
    status, said = ask("/v2")
    if status in LOCKED:
        raise locked(ask.place, f"status {status}")
    for code, page in ((status, said), ask("/v2/") if status != OK else (status, None)):
        if code == OK and isinstance(page, dict) and "name" in page:
            return page
    raise _not_v2(ask.place, "/v2", status)


def _not_v2(place: Place, path: str, status: int) -> Unreachable:
    return Unreachable(f"the server at {place} does not speak the Open Inference Protocol v2 (GET {path}: status {status})", hint=START)


def _models(ask: Asker) -> list[str]:
    """The names that a server lists: by the model repository extension, or as KServe does."""
    status, index = ask("/v2/repository/index", "POST")
    if status == OK and isinstance(index, list):
        return [str(entry["name"]) for entry in index if isinstance(entry, dict) and "name" in entry]
    status, said = ask("/v2/models")
    listed = said.get("models") if status == OK and isinstance(said, dict) else None
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _metadata(ask: Asker, path: str, name: str) -> dict[str, Any]:
    status, said = ask(path)
    if status == OK and isinstance(said, dict) and isinstance(said.get("inputs"), list):
        return said
    if names := _models(ask):
        raise Unknown(f"model at {ask.place} named", name, names)
    raise Unreachable(f"{ask.place} tells nothing of the model {name} (GET {path}: status {status})", hint=NAME_ONE)
