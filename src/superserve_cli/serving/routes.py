"""The HTTP door to the desk: what stands at which path of the Open Inference Protocol v2, and `/metrics`."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from superserve_cli.serving.answers import IDENTITY, allowed, content, refuse, send, send_ready
from superserve_cli.serving.desk import Desk, Served
from superserve_cli.serving.encodings import LEAST_BYTES, chosen, deflated
from superserve_cli.serving.exchange import JSON, Exchange
from superserve_cli.serving.management_routes import PATHS
from superserve_cli.serving.objectives import HEADERS
from superserve_cli.serving.openapi import openapi
from superserve_cli.serving.protocol import InferRequest, InferResponse, read_request, write_response
from superserve_cli.serving.refusals import Invalid, Refusal

MODEL_PATH: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer|stats|config))?")
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
BINARY: Final = "application/octet-stream"
MOST_DIGITS: Final = 18
MOST_REMEMBERED: Final = 256
NO_HEADERS: Final[Mapping[bytes, bytes]] = {}
RAW: Final = 0
"""The header length that says: this body is one raw tensor."""

Answer = Callable[[Exchange], None]
AnswerOfModel = Callable[[Exchange, Served, str], None]


class Meaning(NamedTuple):
    """What the head of an inference says: which model, how long its JSON is, and how its client wants to be answered.

    `headers` are those that may say objectives: none, where none of them does.
    """

    model: str
    version: str
    header_length: int | None
    headers: Mapping[bytes, bytes]
    coded: bool
    accepts: bytes | None


class Pending:
    """An exchange that waits for an inference."""

    __slots__ = ("_asked", "_desk", "_exchange", "_meaning")

    def __init__(self, exchange: Exchange, meaning: Meaning, asked: InferRequest, desk: Desk) -> None:
        self._exchange = exchange
        self._meaning = meaning
        self._asked = asked
        self._desk = desk

    def answered(self, response: InferResponse) -> None:
        """Send it, with its outputs as they were asked for."""
        asked, exchange = self._asked, self._exchange
        try:
            if asked.outputs:
                binary = [asked.as_bytes(tensor.name) for tensor in response.outputs]
                body, header = write_response(response, binary, self._desk.put(asked, response))
            else:
                body, header = write_response(response, [asked.binary_output] * len(response.outputs))
        except Refusal as refusal:
            self.refused(refusal)
            return
        headers = "" if header is None else f"Inference-Header-Content-Length: {header}\r\n"
        _, _, _, objectives, _, accepts = self._meaning
        if objectives:  # who asks in headers is answered in headers
            headers += _headers(response.parameters)
        if accepts is not None and len(body) >= LEAST_BYTES:
            body, coded = _encoded(body, accepts)
            headers += coded
        exchange.respond(200, body, JSON if header is None else BINARY, headers)

    def refused(self, refusal: Refusal) -> None:
        """Say why it will not come."""
        refuse(self._exchange, refusal)


class Routes:
    """The handler of a server's connections."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._fixed: dict[str, tuple[str, Answer]] = {
            "/v2/health/live": ("GET", lambda exchange: send(exchange, {"live": True})),
            "/v2/health/ready": ("GET", lambda exchange: send_ready(exchange, desk.unready, {})),
            "/v2": ("GET", lambda exchange: send(exchange, desk.server())),
            "/v2/": ("GET", lambda exchange: send(exchange, desk.server())),
            "/v2/models": ("GET", lambda exchange: send(exchange, {"models": list(desk.models)})),
            "/v2/models/stats": ("GET", lambda exchange: send(exchange, desk.statistics())),
            "/openapi.json": ("GET", lambda exchange: send(exchange, openapi(next((m.metadata() for m in desk.models.values()), None)))),
            "/metrics": ("GET", lambda exchange: exchange.respond(200, desk.metrics.exposition(), PROMETHEUS)),
        }
        self._of_model: dict[str | None, tuple[str, AnswerOfModel]] = {
            None: ("GET", lambda exchange, model, _: send(exchange, model.metadata())),
            "ready": ("GET", lambda exchange, model, _: send_ready(exchange, model.unready, {"name": model.name})),
            "infer": ("POST", self._understand),
            "stats": ("GET", lambda exchange, model, version: send(exchange, {"model_stats": model.statistics(version)})),
            "config": ("GET", lambda exchange, model, _: send(exchange, model.config())),
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer an exchange, or leave it with its model."""
        try:
            if (meaning := exchange.head.meaning) is not None:
                self._infer(exchange, meaning)
            else:
                self._answer(exchange)
        except Refusal as refusal:
            refuse(exchange, refusal)

    def _answer(self, exchange: Exchange) -> None:
        if (fixed := self._fixed.get(exchange.path)) is not None:
            if allowed(exchange, (fixed[0],)):
                fixed[1](exchange)
        elif (place := _place(exchange.path)) is not None:
            name, version, what = place
            model = self._desk.model(name, version)
            method, answer = self._of_model[what]
            if allowed(exchange, (method,)):
                answer(exchange, model, version)
        else:
            self._manage(exchange)

    def _manage(self, exchange: Exchange) -> None:
        for path, methods in PATHS:
            if (match := path.fullmatch(exchange.path)) is not None:
                if allowed(exchange, methods):
                    answer = methods["GET" if exchange.method == "HEAD" else exchange.method]
                    answer(self._desk, exchange, tuple(unquote(name) for name in match.groups() if name is not None))
                return
        exchange.fail(404, f"there is nothing at {exchange.path[:200]}; models are at /v2/models/NAME")

    def _understand(self, exchange: Exchange, model: Served, version: str) -> None:
        """An inference whose head is new: what it says is kept for the next ones with the same."""
        exchange.head.meaning = meaning = _meaning(model.name, version, exchange.headers)
        self._infer(exchange, meaning)

    def _infer(self, exchange: Exchange, meaning: Meaning) -> None:
        desk = self._desk
        name, version, length, headers, coded, _ = meaning
        model = desk.model(name, version)
        body = content(exchange, desk.most_body_bytes) if coded else exchange.body
        asked = model.raw(bytes(body)) if length == RAW else read_request(body, length, desk.regions.read)
        cancel = model.infer(asked, version, headers, Pending(exchange, meaning, asked, desk))
        if not exchange.answered:
            exchange.on_gone = cancel
            exchange.body = b""  # the rows hold what they need of it


@lru_cache(maxsize=MOST_REMEMBERED)
def _place(path: str) -> tuple[str, str, str | None] | None:
    """The model, its version and what is asked of it, of a path; remembered, for clients ask at the same one again and again."""
    if (match := MODEL_PATH.fullmatch(path)) is None:
        return None
    name, version, what = match.groups()
    return unquote(name), unquote(version or ""), what


def _meaning(model: str, version: str, headers: Mapping[bytes, bytes]) -> Meaning:
    """What the head of an inference says; raises Invalid."""
    objectives = NO_HEADERS if HEADERS.isdisjoint(headers) else headers
    coded = headers.get(b"content-encoding", IDENTITY) != IDENTITY
    return Meaning(model, version, _header_length(headers), objectives, coded, headers.get(b"accept-encoding"))


def _headers(parameters: Mapping[str, Any]) -> str:
    said = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in parameters.items()}
    return "".join(f"X-Superserve-{name.replace('_', '-')}: {text}\r\n" for name, text in said.items() if text.isprintable())


def _encoded(body: bytes, accepted: bytes) -> tuple[bytes, str]:
    """The body in the coding that the client likes best, and the header that says so."""
    if not (coding := chosen(accepted.decode("latin-1"))):
        return body, ""
    return deflated(body, coding), f"Content-Encoding: {coding}\r\n"


def _header_length(headers: Mapping[bytes, bytes]) -> int | None:
    if (text := headers.get(b"inference-header-content-length")) is None:
        return None
    if not text.isdigit() or len(text) > MOST_DIGITS:
        raise Invalid("Inference-Header-Content-Length must be a number of bytes")
    return int(text)
