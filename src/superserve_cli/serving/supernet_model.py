"""The SuperNet as a model of the protocol: rows and objectives out of a request, a router underneath, an answer made of logits."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from superserve_cli.core.nouns import new
from superserve_cli.profiles import Profile
from superserve_cli.serving.configuration import configuration
from superserve_cli.serving.desk import Caller, Cancel, Done, listed
from superserve_cli.serving.model import DATATYPE, OUTPUT, Model
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor
from superserve_cli.serving.refusals import Busy, Invalid, Refusal, Unsupported
from superserve_cli.serving.router import Router
from superserve_cli.serving.tensors import classified
from superserve_cli.serving.waiting import Answer

Swap = Callable[[Mapping[str, Any], Done], None]
"""Load what lies on disk now in place of what is served, without losing a request; raises Refusal, and then tells nobody."""


class SuperNetModel:
    """A model whose requests a router serves; before there is one, it is known and not ready. Its versions are the served subnets.

    Loading it is `swap`, where there is one; without, what was loaded at the start is all there is. Unloading closes it to requests:
    the SuperNet stays resident, so that loading takes no time.
    """

    def __init__(
        self,
        model: Model,
        profile: Profile,
        objectives: Objectives,
        described: Mapping[str, Any],
        router: Router | None = None,
        swap: Swap | None = None,
    ) -> None:
        self.model = model
        self.profile = profile
        self.router = router
        self.described = described
        self.objectives = objectives
        self.swap = swap
        self.loaded = True

    @property
    def name(self) -> str:
        """The SuperNet's."""
        return self.model.name

    @property
    def versions(self) -> Sequence[str]:
        """The served subnets."""
        return self.profile.subnets

    @property
    def unready(self) -> str:
        """Why no request would be served now; empty when one would."""
        if not self.loaded:
            return "unloaded"
        if self.router is None:
            return "the workers are still warming up"
        if self.router.closed:
            return "the server is shutting down"
        return "" if self.router.live else "no worker is up"

    def metadata(self) -> dict[str, Any]:
        """The model's metadata, with what a load generator must know as its parameters."""
        return {**self.model.described(), "versions": list(self.versions), "parameters": dict(self.described)}

    def config(self) -> dict[str, Any]:
        """The model's configuration."""
        max_queue = 0 if self.router is None else self.router.max_queue
        return configuration(self.model.described(), self.profile.batch_sizes, self.described, self.objectives.default_slo_ns, max_queue)

    def statistics(self, version: str = "") -> list[dict[str, Any]]:
        """An entry for each subnet that has served a request."""
        return [] if self.router is None else self.router.statistics.entries(self.name, self.versions, version)

    def load(self, parameters: Mapping[str, Any], done: Done) -> None:
        """Swap the SuperNet, if the server can, and take requests; raises Unsupported."""
        if self.swap is not None:
            self.swap(parameters, lambda refusal: self._swapped(refusal, done))
        elif parameters:
            raise Unsupported(f"failed to load {self.name!r}: this server takes no parameters, {', '.join(parameters)} least of all")
        else:
            self._swapped(None, done)

    def _swapped(self, refusal: Refusal | None, done: Done) -> None:
        self.loaded = self.loaded or refusal is None
        done(refusal)

    def unload(self, done: Done) -> None:
        """Take no more requests."""
        self.loaded = False
        done(None)

    def raw(self, body: bytes) -> InferRequest:
        """The request that a body without JSON is; raises Invalid."""
        return InferRequest((self.model.raw_input(body),), binary_output=True)

    def infer(self, asked: InferRequest, version: str, headers: Mapping[bytes, bytes], caller: Caller) -> Cancel:
        """Queue a request; raises Invalid and Busy."""
        if (router := self.router) is None:
            raise Busy("the workers are still warming up")
        if not self.loaded:
            raise Busy(f"the model {self.name!r} is not loaded")
        rows = self.model.rows(asked)
        slo_ns, min_accuracy, subnet, priority = self.objectives.read(asked.parameters, headers, version)
        if subnet and subnet not in self.versions:
            raise Invalid(f"no subnet {subnet!r} is served; there are {listed(self.versions)}")
        if asked.within_ns is not None:
            slo_ns = min(slo_ns, asked.within_ns)
        reply = _Reply(caller, self.model.name, asked)
        id = router.submit(rows, slo_ns, min_accuracy, reply, subnet, priority)
        return lambda: router.cancel(id)


class _Reply:
    """A caller, as the router sees it."""

    __slots__ = ("_asked", "_caller", "_model")

    def __init__(self, caller: Caller, model: str, asked: InferRequest) -> None:
        self._caller = caller
        self._model = model
        self._asked = asked

    def answered(self, answer: Answer) -> None:
        """Say the logits, and how they came about; the version is the subnet."""
        rows, subnet, accuracy, batch_size, queue_ns, compute_ns, met = answer
        parameters = {
            "subnet": subnet,
            "batch_size": batch_size,
            "queue_us": queue_ns // 1000,
            "compute_us": compute_ns // 1000,
            "slo_met": met,
        }
        if accuracy is not None:
            parameters["accuracy"] = accuracy
        asked, logits = self._asked, new(Tensor, (OUTPUT, DATATYPE, rows))
        if asked.outputs and (most := asked.outputs[0].classes):
            logits = Tensor(OUTPUT, "BYTES", classified(rows, most))
        self._caller.answered(new(InferResponse, (self._model, (logits,), asked.id, subnet, parameters)))

    def refused(self, refusal: Refusal) -> None:
        """Say why nothing will come."""
        self._caller.refused(refusal)
