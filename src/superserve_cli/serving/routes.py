"""What stands at which path: the Open Inference Protocol v2 over HTTP, and `/metrics`."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from superserve_cli import __version__
from superserve_cli.core.outcomes import DROPPED
from superserve_cli.serving.exchange import JSON, Exchange
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.model import DATATYPE, OUTPUT, VERSION, Model
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.protocol import EXTENSIONS, InferRequest, InferResponse, Tensor, read_request, write_response
from superserve_cli.serving.router import Answer, Busy, Router
from superserve_cli.serving.tensors import Invalid

MODEL_PATH: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer|stats))?")
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
BINARY: Final = "application/octet-stream"
COME_AGAIN: Final = "Retry-After: 1\r\n"
MOST_DIGITS: Final = 18
RAW: Final = 0
"""The header length that says: this body is one raw tensor."""


@dataclass
class Service:
    """What the routes answer from; `ready` and `router` change while the server starts and stops."""

    metrics: Metrics
    model: Model | None = None
    objectives: Objectives | None = None
    described: Mapping[str, Any] | None = None
    router: Router | None = None

    @property
    def ready(self) -> bool:
        """Whether a request would be served now."""
        return self.router is not None and self.router.live > 0 and not self.router.closed


class Pending:
    """An exchange that waits for its tensor."""

    __slots__ = ("_as_bytes", "_exchange", "_id", "_model")

    def __init__(self, exchange: Exchange, model: str, id: str, as_bytes: bool) -> None:
        self._exchange = exchange
        self._model = model
        self._id = id
        self._as_bytes = as_bytes

    def answered(self, answer: Answer) -> None:
        """Send the logits, and how they came about."""
        parameters = {
            "subnet": answer.subnet,
            "batch_size": answer.batch_size,
            "queue_us": answer.queue_ns // 1000,
            "compute_us": answer.compute_ns // 1000,
            "slo_met": answer.met,
        }
        if answer.accuracy is not None:
            parameters["accuracy"] = answer.accuracy
        tensor = Tensor(OUTPUT, DATATYPE, answer.logits)
        try:
            body, header = write_response(InferResponse(self._model, (tensor,), self._id, VERSION, parameters), [self._as_bytes])
        except Invalid as error:
            self._exchange.fail(400, str(error))
            return
        if header is None:
            self._exchange.respond(200, body)
        else:
            self._exchange.respond(200, body, BINARY, f"Inference-Header-Content-Length: {header}\r\n")

    def refused(self, status: int) -> None:
        """Say that nothing will come."""
        if status == DROPPED:
            self._exchange.fail(504, "dropped: the deadline could not be met")
        else:
            self._exchange.fail(503, "the last worker was lost", COME_AGAIN)


class Routes:
    """The handler of a server's connections."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._fixed: dict[str, tuple[str, Callable[[Exchange], None]]] = {
            "/v2/health/live": ("GET", self._live),
            "/v2/health/ready": ("GET", self._ready),
            "/v2": ("GET", self._server),
            "/v2/": ("GET", self._server),
            "/v2/models": ("GET", self._models),
            "/v2/models/stats": ("GET", self._stats),
            "/v2/repository/index": ("POST", self._index),
            "/metrics": ("GET", self._metrics),
        }
        self._of_model: dict[str | None, tuple[str, Callable[[Exchange], None]]] = {
            None: ("GET", self._metadata),
            "ready": ("GET", self._model_ready),
            "infer": ("POST", self._infer),
            "stats": ("GET", self._stats),
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer an exchange, or leave it with the router."""
        found = self._fixed.get(exchange.path) or self._model_route(exchange)
        if found is None:
            return
        method, answer = found
        if exchange.method == method or (exchange.method == "HEAD" and method == "GET"):
            answer(exchange)
        else:
            exchange.fail(405, f"{exchange.path} takes {method}", f"Allow: {method}\r\n")

    def _model_route(self, exchange: Exchange) -> tuple[str, Callable[[Exchange], None]] | None:
        if (match := MODEL_PATH.fullmatch(exchange.path)) is None:
            exchange.fail(404, f"there is nothing at {exchange.path}; models are at /v2/models/NAME")
            return None
        name, version, what = match.groups()
        model = self._service.model
        if model is None:
            exchange.fail(503, "the workers are still loading", COME_AGAIN)
        elif unquote(name) != model.name:
            exchange.fail(404, f"there is no model {unquote(name)!r}; this server has {model.name!r}")
        elif version not in (None, VERSION):
            exchange.fail(404, f"the model {model.name!r} has no version {unquote(version)!r}, only {VERSION!r}")
        else:
            return self._of_model[what]
        return None

    def _live(self, exchange: Exchange) -> None:
        _send(exchange, {"live": True})

    def _ready(self, exchange: Exchange) -> None:
        self._send_ready(exchange, {})

    def _model_ready(self, exchange: Exchange) -> None:
        self._send_ready(exchange, {"name": self._name})

    def _send_ready(self, exchange: Exchange, named: dict[str, str]) -> None:
        if self._service.ready:
            _send(exchange, {**named, "ready": True})
        else:
            _send(exchange, {**named, "ready": False, "error": "no worker is up"}, 503)

    def _server(self, exchange: Exchange) -> None:
        _send(exchange, {"name": "superserve", "version": __version__, "extensions": list(EXTENSIONS)})

    def _models(self, exchange: Exchange) -> None:
        _send(exchange, {"models": [self._name] if self._service.model else []})

    def _index(self, exchange: Exchange) -> None:
        state = "READY" if self._service.ready else "UNAVAILABLE"
        _send(exchange, [{"name": self._name, "version": VERSION, "state": state}] if self._service.model else [])

    def _metadata(self, exchange: Exchange) -> None:
        assert self._service.model is not None
        _send(exchange, {**self._service.model.described(), "parameters": self._service.described})

    def _stats(self, exchange: Exchange) -> None:
        _send(exchange, self._service.metrics.statistics(self._name, VERSION))

    def _metrics(self, exchange: Exchange) -> None:
        exchange.respond(200, self._service.metrics.exposition(), PROMETHEUS)

    @property
    def _name(self) -> str:
        return self._service.model.name if self._service.model else ""

    def _infer(self, exchange: Exchange) -> None:
        service = self._service
        if (encoding := exchange.headers.get(b"content-encoding", b"identity")) != b"identity":
            exchange.fail(415, f"Content-Encoding {encoding.decode('latin-1')} is not supported: send the body as it is")
            return
        if service.router is None or service.objectives is None or service.model is None:
            exchange.fail(503, "the workers are still warming up", COME_AGAIN)
            return
        try:
            self._submit(exchange, service.router, service.objectives, service.model)
        except Invalid as error:
            exchange.fail(400, str(error))
        except Busy as error:
            exchange.fail(503, str(error), COME_AGAIN)

    def _submit(self, exchange: Exchange, router: Router, objectives: Objectives, model: Model) -> None:
        length = _header_length(exchange.headers)
        if length == RAW:
            asked, rows, as_bytes = InferRequest(()), model.raw_rows(exchange.body), True
        else:
            asked = read_request(exchange.body, length)
            rows, as_bytes = model.rows(asked), asked.as_bytes(OUTPUT)
        slo_ns = objectives.slo_ns(asked.parameters, exchange.headers)
        floor = objectives.min_accuracy(asked.parameters, exchange.headers)
        id = router.submit(rows, slo_ns, floor, Pending(exchange, model.name, asked.id, as_bytes))
        if not exchange.answered:
            exchange.on_gone = lambda: router.cancel(id)


def _header_length(headers: Mapping[bytes, bytes]) -> int | None:
    if (text := headers.get(b"inference-header-content-length")) is None:
        return None
    if not text.isdigit() or len(text) > MOST_DIGITS:
        raise Invalid("Inference-Header-Content-Length must be a number of bytes")
    return int(text)


def _send(exchange: Exchange, value: object, status: int = 200) -> None:
    exchange.respond(status, json.dumps(value).encode(), JSON)
