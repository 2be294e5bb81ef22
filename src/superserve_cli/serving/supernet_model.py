"""The SuperNet as a model of the protocol: rows and objectives out of a request, a router underneath, an answer made of logits."""

from collections.abc import Mapping, Sequence
from typing import Any

from superserve_cli.serving.desk import Caller, Cancel
from superserve_cli.serving.model import DATATYPE, OUTPUT, VERSION, Model
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor
from superserve_cli.serving.refusals import Busy, Refusal
from superserve_cli.serving.router import Answer, Router


class SuperNetModel:
    """A model whose requests a router serves; before there is one, it is known and not ready."""

    def __init__(self, model: Model, objectives: Objectives, described: Mapping[str, Any], router: Router | None = None) -> None:
        self.model = model
        self.router = router
        self.described = described
        self._objectives = objectives

    @property
    def name(self) -> str:
        """The SuperNet's."""
        return self.model.name

    @property
    def versions(self) -> Sequence[str]:
        """What may stand behind /versions/ in a URL."""
        return (VERSION,)

    @property
    def ready(self) -> bool:
        """Whether a request would be served now."""
        return self.router is not None and self.router.live > 0 and not self.router.closed

    def metadata(self) -> dict[str, Any]:
        """The model's metadata, with what a load generator must know as its parameters."""
        return {**self.model.described(), "parameters": dict(self.described)}

    def statistics(self) -> list[dict[str, Any]]:
        """The entry of the model's only version."""
        return [] if self.router is None else [self.router.metrics.statistics(self.name, VERSION)]

    def raw(self, body: bytes) -> InferRequest:
        """The request that a body without JSON is; raises Invalid."""
        return InferRequest((self.model.raw_input(body),), binary_output=True)

    def infer(self, asked: InferRequest, version: str, headers: Mapping[bytes, bytes], caller: Caller) -> Cancel:
        """Queue a request; raises Invalid and Busy."""
        if (router := self.router) is None:
            raise Busy("the workers are still warming up")
        rows = self.model.rows(asked)
        slo_ns = self._objectives.slo_ns(asked.parameters, headers)
        floor = self._objectives.min_accuracy(asked.parameters, headers)
        id = router.submit(rows, slo_ns, floor, _Reply(caller, self.name, asked.id))
        return lambda: router.cancel(id)


class _Reply:
    """A caller, as the router sees it."""

    __slots__ = ("_caller", "_id", "_model")

    def __init__(self, caller: Caller, model: str, id: str) -> None:
        self._caller = caller
        self._model = model
        self._id = id

    def answered(self, answer: Answer) -> None:
        """Say the logits, and how they came about."""
        parameters = {
            "subnet": answer.subnet,
            "batch_size": answer.batch_size,
            "queue_us": answer.queue_ns // 1000,
            "compute_us": answer.compute_ns // 1000,
            "slo_met": answer.met,
        }
        if answer.accuracy is not None:
            parameters["accuracy"] = answer.accuracy
        self._caller.answered(InferResponse(self._model, (Tensor(OUTPUT, DATATYPE, answer.logits),), self._id, VERSION, parameters))

    def refused(self, refusal: Refusal) -> None:
        """Say why nothing will come."""
        self._caller.refused(refusal)
