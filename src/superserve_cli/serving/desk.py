"""What clients can ask of a server, whatever they speak: HTTP (`routes`) and gRPC are two doors to the same desk.

Answers are plain dicts in the protocol's own words, of which either door makes its messages. What cannot be had is a Refusal.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from superserve_cli import __version__
from superserve_cli.serving import logging_settings
from superserve_cli.serving.history import History
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.protocol import InferRequest, InferResponse
from superserve_cli.serving.refusals import Busy, Missing, Refusal, Unsupported
from superserve_cli.serving.shared_memory import Place, Regions
from superserve_cli.serving.tensors import to_bytes

NAME: Final = "superserve"
EXTENSIONS: Final = (
    "binary_tensor_data",
    "parameters",
    "classification",
    "schedule_policy",
    "statistics",
    "model_configuration",
    "model_repository",
    "logging",
)
SHARED_MEMORY: Final = "system_shared_memory"
MOST_NAMED: Final = 12
MOST_BODY_BYTES: Final = 64 * 1024 * 1024
LOADING: Final = "the workers are still loading"
Cancel = Callable[[], None]
"""Tells a model that nobody waits for a request any more."""
Done = Callable[[Refusal | None], None]
"""Told once, with None, that what was asked for is done, or why it is not; perhaps before the asking returns."""


class Caller(Protocol):
    """Who waits for an inference: exactly one of the two is called, once, perhaps before `Served.infer` returns."""

    def answered(self, response: InferResponse) -> None:
        """Here it is."""
        ...

    def refused(self, refusal: Refusal) -> None:
        """It will not come."""
        ...


class Served(Protocol):
    """A model that clients can ask."""

    @property
    def name(self) -> str:
        """What clients call it."""
        ...

    @property
    def versions(self) -> Sequence[str]:
        """What may stand behind /versions/ in a URL."""
        ...

    @property
    def unready(self) -> str:
        """Why no request would be served now; empty when one would."""
        ...

    @property
    def loaded(self) -> bool:
        """Whether it is meant to serve requests: false once it was unloaded."""
        ...

    def metadata(self) -> dict[str, Any]:
        """The model's metadata as the protocol wants it."""
        ...

    def config(self) -> dict[str, Any]:
        """The model's configuration as the model configuration extension wants it."""
        ...

    def statistics(self, version: str = "") -> list[dict[str, Any]]:
        """The entries of `model_stats`, of a version or of all."""
        ...

    def load(self, parameters: Mapping[str, Any], done: Done) -> None:
        """Load what there is now, in place of what is served; no request is lost meanwhile. Raises Refusal, and then tells nobody."""
        ...

    def unload(self, done: Done) -> None:
        """Take no more requests until it is loaded again; those that wait are answered. Raises Refusal, and then tells nobody."""
        ...

    def raw(self, body: bytes) -> InferRequest:
        """The request that a body without JSON is (binary tensor data extension, header length 0); raises Invalid."""
        ...

    def infer(self, asked: InferRequest, version: str, headers: Mapping[bytes, bytes], caller: Caller) -> Cancel:
        """Take a request, `version` "" for any; `headers` (lower case) may say its objectives; raises Refusal, and then calls nobody."""
        ...


class Desk:
    """The models of a server, by name; none while it starts.

    `local`: its clients are on the same machine. A request takes at most `most_body_bytes`, compressed or not.
    """

    def __init__(self, metrics: Metrics, local: bool = True) -> None:
        self.metrics = metrics
        self.history = History(metrics)
        self.started_unix_s = time.time()
        self.models: dict[str, Served] = {}
        self.regions = Regions(allowed=local)
        self.most_body_bytes = MOST_BODY_BYTES

    @property
    def unready(self) -> str:
        """Why not every model that is loaded would serve a request now; empty when they would, and there is one."""
        loaded = [model for model in self.models.values() if model.loaded]
        if not loaded:
            return "no model is loaded" if self.models else LOADING
        return next((model.unready for model in loaded if model.unready), "")

    @property
    def ready(self) -> bool:
        """Whether they would."""
        return not self.unready

    def server(self) -> dict[str, Any]:
        """The server's metadata."""
        extensions = (*EXTENSIONS, SHARED_MEMORY) if self.regions.allowed else EXTENSIONS
        return {"name": NAME, "version": __version__, "extensions": list(extensions)}

    def index(self, ready: bool = False) -> list[dict[str, str]]:
        """The model repository's index, of all models or of those that are `ready`."""
        models = [model for model in self.models.values() if not (ready and model.unready)]
        return [
            {"name": model.name, "version": version, "state": "UNAVAILABLE" if model.unready else "READY", "reason": model.unready}
            for model in models
            for version in model.versions
        ]

    def load(self, name: str, parameters: Mapping[str, Any], done: Done) -> None:
        """Load a model anew; `done` is told when it serves. Raises Refusal, and then tells nobody."""
        self._known(name, "failed to load").load(parameters, done)

    def unload(self, name: str, done: Done) -> None:
        """Have a model take no more requests. Raises Refusal, and then tells nobody."""
        self._known(name, "failed to unload").unload(done)

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """The statistics of a model, or of all; raises Busy and Missing."""
        models = [self.model(name, version)] if name else self.models.values()
        return {"model_stats": [entry for model in models for entry in model.statistics(version)]}

    def logging(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The log's settings, changed first if asked to; raises Invalid."""
        return logging_settings.settings() if not changes else logging_settings.change(changes)

    def put(self, asked: InferRequest, response: InferResponse) -> Mapping[str, Place]:
        """Put those outputs into shared memory that a request wants there, and say where they lie; raises Refusal."""
        wanted = asked.placed()
        return {
            name: self.regions.write(wanted[name], to_bytes(datatype, data)) for name, datatype, data in response.outputs if name in wanted
        }

    def trace(self) -> dict[str, Any]:
        """Raises Unsupported: requests are not traced one by one."""
        raise Unsupported("traces are not kept: /metrics says how long requests took, and `serve --record` keeps every decision")

    def model(self, name: str, version: str = "") -> Served:
        """The model of a name, which must have the version (if any); raises Busy while the server starts, Missing."""
        found = self.models.get(name) or self._known(name, "Request for unknown model")
        if version and version not in found.versions:
            raise Missing(f"the model {name!r} has no version {version!r}; its versions are {listed(found.versions)}")
        return found

    def _known(self, name: str, trouble: str) -> Served:
        if not self.models:
            raise Busy(LOADING)
        if (found := self.models.get(name)) is None:
            # standard clients look for these very words
            raise Missing(f"{trouble}: there is no model {name!r}; this server has {', '.join(map(repr, self.models))}")
        return found


def listed(names: Sequence[str]) -> str:
    """Names in one line, however many there are."""
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"
