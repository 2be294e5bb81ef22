"""What a server says of itself over gRPC."""

import json
import socket
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError

from superserve_cli.errors import Unknown, Unreachable
from superserve_cli.serving.load.http2 import Http2
from superserve_cli.serving.load.place import Access, Place
from superserve_cli.serving.load.target import NAME_ONE, START, Target, described, locked, only_model, read_inputs, silent
from superserve_cli.serving.load.wire import OK, Nonsense
from superserve_cli.serving.rpc.messages import METHODS

PATIENCE_S: Final = 5.0
PIECE: Final = 1 << 16
FORBIDDEN, NOT_FOUND, UNAUTHORIZED, UNIMPLEMENTED = 403, 404, 401, 501


def find(place: Place, model: str | None, access: Access) -> Target:
    """The model that a URL names (or the only one that the server has); raises Unreachable, Unknown and BadOption."""
    ask = _Asker(place, access)
    if not ask("ServerReady").ready:
        raise Unreachable(f"the server at {place} is not ready", hint="wait until ServerReady says so")
    server = ask("ServerMetadata")
    name = model or place.model or only_model(place, _models(ask))
    metadata = _metadata(ask, name)
    return Target(
        place=place,
        address=ask.address,
        path=METHODS["ModelInfer"].path,
        model=name,
        inputs=read_inputs(name, [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in metadata.inputs]),
        binary=True,
        description=described(
            place,
            name,
            {"platform": metadata.platform, "parameters": _told(metadata.properties)},
            {"name": server.name, "version": server.version},
        ),
    )


class _Refused(Exception):
    """A call that was answered with an error: its status as HTTP has it, and the text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Asker:
    """Answers to single calls, each on a connection of its own; `address` is the numeric one that answered."""

    def __init__(self, place: Place, access: Access) -> None:
        self.place = place
        self.address = ""
        self._access = access
        self._tls = access.context(place)

    def __call__(self, name: str, /, **fields: Any) -> Any:
        """The answer's message; raises Unreachable."""
        try:
            return self.call(name, **fields)
        except _Refused as refusal:
            if refusal.status in (UNAUTHORIZED, FORBIDDEN):
                raise locked(self.place, str(refusal)) from None
            raise Unreachable(f"the server at {self.place} cannot be used ({name}: {refusal})", hint=START) from None

    def call(self, name: str, /, **fields: Any) -> Any:
        """The answer's message; raises Unreachable, and Refused for an answer without one."""
        method = METHODS[name]
        message = method.request(**fields).SerializeToString()
        codec = Http2(self.place, method.path, self._access.headers)
        try:
            status, body = self._exchanged(codec, b"\0" + len(message).to_bytes(4, "big") + message)
        except OSError as error:
            raise silent(self.place, error) from error
        except Nonsense as error:
            raise Unreachable(f"what answers at {self.place} is no gRPC server ({error})", hint=START) from error
        if status != OK:
            raise _Refused(status, body.decode(errors="replace"))
        try:
            return method.response.FromString(body)
        except DecodeError as error:
            raise Unreachable(f"the server at {self.place} answers {name} in a way of its own ({error})", hint=START) from None

    def _exchanged(self, codec: Http2, message: bytes) -> tuple[int, bytes]:
        with socket.create_connection((self.place.host, self.place.port), PATIENCE_S) as plain:
            self.address = str(plain.getpeername()[0])
            if self._tls is None:
                return _exchange(plain, codec, message)
            with self._tls.wrap_socket(plain, server_hostname=self.place.host) as secured:
                return _exchange(secured, codec, message)


def _exchange(wire: socket.socket, codec: Http2, message: bytes) -> tuple[int, bytes]:
    wire.sendall(b"".join([*codec.greeting(), *codec.ask([message])]))
    while True:
        piece = wire.recv(PIECE)
        if not piece:
            raise Nonsense("it hung up")
        answer = codec.feed(memoryview(piece))
        if answer is not None:
            return answer.status, answer.body
        if codec.control:
            wire.sendall(b"".join(codec.take_control()))


def _models(ask: _Asker) -> list[str]:
    """The names that a server lists, none where it has no index."""
    try:
        return [entry.name for entry in ask.call("RepositoryIndex").models]
    except _Refused:
        return []


def _metadata(ask: _Asker, name: str) -> Any:
    try:
        return ask.call("ModelMetadata", name=name, version=ask.place.version)
    except _Refused as refusal:
        if refusal.status in (UNAUTHORIZED, FORBIDDEN):
            raise locked(ask.place, str(refusal)) from None
        if names := _models(ask):
            raise Unknown(f"model at {ask.place} named", name, names) from None
        raise Unreachable(f"{ask.place} tells nothing of the model {name} ({refusal})", hint=NAME_ONE) from None


def _told(properties: Mapping[str, str]) -> dict[str, Any]:
    """What the properties say: text, or JSON where that is how JSON would write it (a hash such as 12e45 stays one)."""
    return {name: _value(text) for name, text in properties.items()}


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict | list) or json.dumps(value) == text else text
