"""The HTTP door to the desk: what stands at which path of the Open Inference Protocol v2, and `/metrics`."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from superserve_cli.serving.desk import Desk, Served
from superserve_cli.serving.exchange import JSON, Exchange
from superserve_cli.serving.protocol import InferRequest, InferResponse, read_request, write_response
from superserve_cli.serving.refusals import Busy, Invalid, Refusal

MODEL_PATH: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer|stats))?")
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
BINARY: Final = "application/octet-stream"
MOST_DIGITS: Final = 18
RAW: Final = 0
"""The header length that says: this body is one raw tensor."""

Answer = Callable[[Exchange], None]
AnswerOfModel = Callable[[Exchange, Served, str], None]


class Pending:
    """An exchange that waits for an inference."""

    __slots__ = ("_asked", "_exchange")

    def __init__(self, exchange: Exchange, asked: InferRequest) -> None:
        self._exchange = exchange
        self._asked = asked

    def answered(self, response: InferResponse) -> None:
        """Send it."""
        try:
            body, header = write_response(response, [self._asked.as_bytes(tensor.name) for tensor in response.outputs])
        except Invalid as error:
            self.refused(error)
            return
        if header is None:
            self._exchange.respond(200, body)
        else:
            self._exchange.respond(200, body, BINARY, f"Inference-Header-Content-Length: {header}\r\n")

    def refused(self, refusal: Refusal) -> None:
        """Say why it will not come."""
        _refuse(self._exchange, refusal)


class Routes:
    """The handler of a server's connections."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._fixed: dict[str, tuple[str, Answer]] = {
            "/v2/health/live": ("GET", lambda exchange: _send(exchange, {"live": True})),
            "/v2/health/ready": ("GET", lambda exchange: _send_ready(exchange, desk.ready, {})),
            "/v2": ("GET", lambda exchange: _send(exchange, desk.server())),
            "/v2/": ("GET", lambda exchange: _send(exchange, desk.server())),
            "/v2/models": ("GET", lambda exchange: _send(exchange, {"models": list(desk.models)})),
            "/v2/models/stats": ("GET", lambda exchange: _send(exchange, desk.statistics())),
            "/v2/repository/index": ("POST", lambda exchange: _send(exchange, desk.index())),
            "/metrics": ("GET", lambda exchange: exchange.respond(200, desk.metrics.exposition(), PROMETHEUS)),
        }
        self._of_model: dict[str | None, tuple[str, AnswerOfModel]] = {
            None: ("GET", lambda exchange, model, _: _send(exchange, model.metadata())),
            "ready": ("GET", lambda exchange, model, _: _send_ready(exchange, not model.unready, {"name": model.name})),
            "infer": ("POST", _infer),
            "stats": ("GET", lambda exchange, model, version: _send(exchange, {"model_stats": model.statistics(version)})),
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer an exchange, or leave it with its model."""
        try:
            self._answer(exchange)
        except Refusal as refusal:
            _refuse(exchange, refusal)

    def _answer(self, exchange: Exchange) -> None:
        if (fixed := self._fixed.get(exchange.path)) is not None:
            if _allowed(exchange, fixed[0]):
                fixed[1](exchange)
            return
        if (match := MODEL_PATH.fullmatch(exchange.path)) is None:
            exchange.fail(404, f"there is nothing at {exchange.path}; models are at /v2/models/NAME")
            return
        name, version, what = match.groups()
        version = unquote(version or "")
        model = self._desk.model(unquote(name), version)
        method, answer = self._of_model[what]
        if _allowed(exchange, method):
            answer(exchange, model, version)


def _infer(exchange: Exchange, model: Served, version: str) -> None:
    if (encoding := exchange.headers.get(b"content-encoding", b"identity")) != b"identity":
        exchange.fail(415, f"Content-Encoding {encoding.decode('latin-1')} is not supported: send the body as it is")
        return
    length = _header_length(exchange.headers)
    asked = model.raw(exchange.body) if length == RAW else read_request(exchange.body, length)
    cancel = model.infer(asked, version, exchange.headers, Pending(exchange, asked))
    if not exchange.answered:
        exchange.on_gone = cancel


def _allowed(exchange: Exchange, method: str) -> bool:
    if exchange.method == method or (exchange.method == "HEAD" and method == "GET"):
        return True
    exchange.fail(405, f"{exchange.path} takes {method}", f"Allow: {method}\r\n")
    return False


def _header_length(headers: Mapping[bytes, bytes]) -> int | None:
    if (text := headers.get(b"inference-header-content-length")) is None:
        return None
    if not text.isdigit() or len(text) > MOST_DIGITS:
        raise Invalid("Inference-Header-Content-Length must be a number of bytes")
    return int(text)


def _refuse(exchange: Exchange, refusal: Refusal) -> None:
    again = f"Retry-After: {refusal.retry_after_s}\r\n" if isinstance(refusal, Busy) else ""
    exchange.fail(refusal.status, str(refusal), again)


def _send_ready(exchange: Exchange, ready: bool, named: dict[str, str]) -> None:
    if ready:
        _send(exchange, {**named, "ready": True})
    else:
        _send(exchange, {**named, "ready": False, "error": "no worker is up"}, 503)


def _send(exchange: Exchange, value: object, status: int = 200) -> None:
    exchange.respond(status, json.dumps(value).encode(), JSON)
