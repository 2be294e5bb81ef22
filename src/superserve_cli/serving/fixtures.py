"""Three tiny models that standard clients' examples and test suites expect of a server: `serve --fixtures`.

Each is a function of numpy arrays, computed where its request is read, so that it has no queue and no subnets: its only version is 1.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.serving.configuration import type_name
from superserve_cli.serving.desk import Caller, Cancel, Done
from superserve_cli.serving.objectives import Objectives
from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, read_object
from superserve_cli.serving.refusals import Busy, Invalid, Refusal, Unsupported
from superserve_cli.serving.statistics import Statistics

VERSION: Final = "1"
ROWS: Final = 8
WIDTH: Final = 16
ANY: Final = -1
MOST_DIGITS: Final = 9
"""Of a number in a string, so that it fits INT32 like those of `simple`."""
INPUTS: Final = ("INPUT0", "INPUT1")
OUTPUTS: Final = ("OUTPUT0", "OUTPUT1")

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Function:
    """What a fixture computes: as many outputs as inputs, all of one datatype and of `width` elements a row (ANY: any number)."""

    name: str
    datatype: str
    width: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    compute: Callable[[Arrays], Arrays]


def _sum_and_difference(inputs: Arrays) -> Arrays:
    first, second = inputs
    return first + second, first - second


def _of_texts(inputs: Arrays) -> Arrays:
    numbers = [np.array([_number(text) for text in texts.flat], np.int64).reshape(texts.shape) for texts in inputs]
    return [_texts(answer) for answer in _sum_and_difference(numbers)]


def _number(text: bytes) -> int:
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > MOST_DIGITS:
        raise Invalid(f"{text[:20]!r} is no decimal number of at most {MOST_DIGITS} digits")
    return int(text)


def _texts(numbers: NDArray[Any]) -> NDArray[Any]:
    texts = np.empty(numbers.size, object)
    texts[:] = [str(number).encode() for number in numbers.ravel().tolist()]
    return texts.reshape(numbers.shape)


FUNCTIONS: Final = (
    Function("simple", "INT32", WIDTH, INPUTS, OUTPUTS, _sum_and_difference),
    Function("simple_string", "BYTES", WIDTH, INPUTS, OUTPUTS, _of_texts),
    Function("simple_identity", "BYTES", ANY, INPUTS[:1], OUTPUTS[:1], lambda inputs: inputs),
)


class Fixture:
    """A function as a model that clients can ask."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._most_rows = ROWS
        self._objectives = Objectives(default_slo_ns=1)
        self._statistics = Statistics(0)
        self.loaded = True

    @property
    def name(self) -> str:
        """The function's."""
        return self._function.name

    @property
    def versions(self) -> Sequence[str]:
        """The only one."""
        return (VERSION,)

    @property
    def unready(self) -> str:
        """Why no request would be served now; empty when one would."""
        return "" if self.loaded else "unloaded"

    def metadata(self) -> dict[str, Any]:
        """The model's metadata as the protocol wants it."""
        inputs, outputs = self._tensors(self._function.inputs), self._tensors(self._function.outputs)
        return {"name": self.name, "versions": [VERSION], "platform": "superserve_fixture", "inputs": inputs, "outputs": outputs}

    def _tensors(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return [{"name": name, "datatype": self._function.datatype, "shape": [-1, self._function.width]} for name in names]

    def config(self) -> dict[str, Any]:
        """The model's configuration."""
        kind, dims = type_name(self._function.datatype), [self._function.width]
        return {
            "name": self.name,
            "platform": "superserve_fixture",
            "backend": "superserve",
            "version_policy": {"all": {}},
            "max_batch_size": self._most_rows,
            "input": [{"name": name, "data_type": kind, "dims": dims} for name in self._function.inputs],
            "output": [{"name": name, "data_type": kind, "dims": dims} for name in self._function.outputs],
            "instance_group": [{"name": self.name, "kind": "KIND_CPU", "count": 1}],
        }

    def statistics(self, version: str = "") -> list[dict[str, Any]]:
        """The entry of the only version."""
        return self._statistics.entries(self.name, self.versions, version)

    def load(self, parameters: Mapping[str, Any], done: Done) -> None:
        """Take requests, with another `max_batch_size` if `config` says so; raises Invalid and Unsupported."""
        self._most_rows = self._rows_of(parameters)
        self.loaded = True
        done(None)

    def _rows_of(self, parameters: Mapping[str, Any]) -> int:
        if others := sorted(parameters.keys() - {"config"}):
            raise Unsupported(f"failed to load {self.name!r}: only config can be given, not {others[0]!r}")
        try:
            config = read_object(parameters["config"].encode()) if "config" in parameters else {}
            rows = int(config.get("max_batch_size", ROWS))
        except (Invalid, AttributeError, TypeError, ValueError) as error:
            raise Invalid(f"failed to load {self.name!r}: its config is no model configuration: {error}") from None
        if rows < 1:
            raise Invalid(f"failed to load {self.name!r}: max_batch_size must be at least 1, not {rows}")
        return rows

    def unload(self, done: Done) -> None:
        """Take no more requests."""
        self.loaded = False
        done(None)

    def raw(self, body: bytes) -> InferRequest:
        """The request that a body without JSON is: a single text; raises Invalid."""
        if len(self._function.inputs) > 1:
            raise Invalid(f"a raw body is one input, and {self.name!r} takes {len(self._function.inputs)}")
        only = np.empty((1, 1), object)
        only[0, 0] = body
        return InferRequest((Tensor(self._function.inputs[0], self._function.datatype, only),), binary_output=True)

    def infer(self, asked: InferRequest, version: str, headers: Mapping[bytes, bytes], caller: Caller) -> Cancel:
        """Answer at once, which is within any timeout; raises Invalid and Busy."""
        if not self.loaded:
            raise Busy(f"the model {self.name!r} is not loaded")
        begun_ns = time.time_ns()
        try:
            response = self._answer(asked, version, headers)
        except Refusal:
            self._statistics.failed(VERSION, time.time_ns() - begun_ns)
            raise
        now_ns = time.time_ns()
        self._statistics.of(VERSION).ran(1, len(asked.inputs[0].data), 0, 0, now_ns - begun_ns, 0, now_ns)
        caller.answered(response)
        return lambda: None

    def _answer(self, asked: InferRequest, version: str, headers: Mapping[bytes, bytes]) -> InferResponse:
        goal = self._objectives.read(asked.parameters, headers, version)
        if goal.subnet not in (None, VERSION) or goal.min_accuracy:
            raise Invalid(f"{self.name!r} has no subnets and no accuracy to ask for")
        answers = self._function.compute(self._arrays(asked.inputs))
        known, names = self._function.outputs, [wanted.name for wanted in asked.outputs]
        if any(wanted.classes for wanted in asked.outputs) or len(set(names)) < len(names):
            raise Invalid(f"the outputs of {self.name!r} are no classes, and to be asked for once")
        if strange := [name for name in names if name not in known]:
            raise Invalid(f"{self.name!r} has the outputs {', '.join(known)}, not {strange[0]!r}")
        tensors = [Tensor(name, self._function.datatype, data) for name, data in zip(known, answers, strict=True)]
        return InferResponse(self.name, tuple(t for t in tensors if not names or t.name in names), asked.id, VERSION)

    def _arrays(self, inputs: Sequence[Tensor]) -> Arrays:
        """The data of the inputs in their order; raises Invalid for other tensors than the model takes."""
        function, by_name = self._function, {tensor.name: tensor for tensor in inputs}
        if len(inputs) != len(by_name) or by_name.keys() != set(function.inputs):
            raise Invalid(f"{self.name!r} takes the inputs {', '.join(function.inputs)}, not {[tensor.name for tensor in inputs]}")
        tensors = [by_name[name] for name in function.inputs]
        shapes = {tensor.data.shape for tensor in tensors}
        if any(tensor.datatype != function.datatype for tensor in tensors) or len(shapes) > 1 or not self._fits(shapes.pop()):
            width = "any" if function.width == ANY else function.width
            raise Invalid(f"{self.name!r} takes {function.datatype} of shape [n, {width}], n from 1 to {self._most_rows}, the same for all")
        return [tensor.data for tensor in tensors]

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 2 and 1 <= shape[0] <= self._most_rows and self._function.width in (ANY, shape[1])


def fixtures() -> dict[str, Fixture]:
    """All of them by name, afresh."""
    return {function.name: Fixture(function) for function in FUNCTIONS}
