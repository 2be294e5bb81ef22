"""What clients can ask of a server, whatever they speak: HTTP (`routes`) and gRPC are two doors to the same desk."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from superserve_cli import __version__
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.protocol import EXTENSIONS, InferRequest, InferResponse
from superserve_cli.serving.refusals import Busy, Missing, Refusal

NAME: Final = "superserve"
Cancel = Callable[[], None]
"""Tells a model that nobody waits for a request any more."""


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
    def ready(self) -> bool:
        """Whether a request would be served now."""
        ...

    def metadata(self) -> dict[str, Any]:
        """The model's metadata as the protocol wants it."""
        ...

    def statistics(self) -> list[dict[str, Any]]:
        """The entries of `model_stats`."""
        ...

    def raw(self, body: bytes) -> InferRequest:
        """The request that a body without JSON is (binary tensor data extension, header length 0); raises Invalid."""
        ...

    def infer(self, asked: InferRequest, version: str, headers: Mapping[bytes, bytes], caller: Caller) -> Cancel:
        """Take a request, `version` "" for any; `headers` (lower case) may say its objectives; raises Refusal, and then calls nobody."""
        ...


class Desk:
    """The models of a server, by name; none while it starts."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.models: dict[str, Served] = {}

    @property
    def ready(self) -> bool:
        """Whether every model would serve a request now."""
        return bool(self.models) and all(model.ready for model in self.models.values())

    def server(self) -> dict[str, Any]:
        """The server's metadata."""
        return {"name": NAME, "version": __version__, "extensions": list(EXTENSIONS)}

    def index(self) -> list[dict[str, str]]:
        """The model repository's index."""
        states = [(model, "READY" if model.ready else "UNAVAILABLE") for model in self.models.values()]
        return [{"name": model.name, "version": version, "state": state} for model, state in states for version in model.versions]

    def statistics(self) -> dict[str, Any]:
        """The statistics of all models."""
        return {"model_stats": [entry for model in self.models.values() for entry in model.statistics()]}

    def model(self, name: str, version: str = "") -> Served:
        """The model of a name, which must have the version (if any); raises Busy while the server starts, Missing."""
        if not self.models:
            raise Busy("the workers are still loading")
        if (found := self.models.get(name)) is None:
            raise Missing(f"there is no model {name!r}; this server has {', '.join(map(repr, self.models))}")
        if version and version not in found.versions:
            raise Missing(f"the model {name!r} has no version {version!r}; its versions are {', '.join(found.versions)}")
        return found
