from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.serving.protocol import InferRequest, Tensor
from superserve_cli.serving.refusals import Invalid
from superserve_cli.serving.tensors import DTYPES, from_bytes

INPUT: Final = "input"
OUTPUT: Final = "logits"
DATATYPE: Final = "FP32"
"""What outputs are, and inputs unless they are words or pixels."""
DATATYPES: Final = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
"""What the protocol calls the inputs of a SuperNet."""
NUMBER_BYTES: Final = 64
"""A number in JSON, with all its digits, indented."""
ROOM_BYTES: Final = 64 * 1024
"""What a request may hold beside its numbers."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a router knows of the SuperNet that its workers hold: `shape` of an input row, `classes` of an output row.

    A model of words (`datatype` INT64) looks them up: `vocabulary` says how many there are, and how many types of words, which a
    row may have as second plane (2, length).
    """

    name: str
    hash: str
    shape: tuple[int, ...]
    classes: int
    task: str | None = None
    seed: int | None = None
    datatype: str = DATATYPE
    vocabulary: tuple[int, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the inputs, as numpy has it."""
        return DTYPES[self.datatype]

    def rows(self, request: InferRequest) -> NDArray[Any]:
        """The rows (n, *shape) that a request holds; raises Invalid for other tensors than the model takes."""
        _, datatype, data = _only(request.inputs)
        if request.outputs and (len(request.outputs) > 1 or request.outputs[0].name != OUTPUT):
            raise Invalid(f"the only output is {OUTPUT!r}, to be asked for once")
        if datatype != self.datatype or data.shape[1:] != self.shape or not len(data):
            raise Invalid(f"input {INPUT!r} must be {self.datatype} of shape {self._shape(-1)}, not {datatype} of {list(data.shape)}")
        return self._known(data) if self.vocabulary else data

    def raw_input(self, body: bytes) -> Tensor:
        """The input that a body without JSON holds (binary tensor data extension, header length 0); raises Invalid."""
        rows, rest = divmod(len(body), self.dtype.itemsize * int(np.prod(self.shape)))
        if rest or not rows:
            raise Invalid(f"a raw body must hold whole rows of {self.datatype} of shape {self._shape(-1)}")
        return Tensor(INPUT, self.datatype, from_bytes(self.datatype, (rows, *self.shape), body, 0, len(body)))

    def _known(self, data: NDArray[Any]) -> NDArray[Any]:
        """The same rows, when they hold no word that a worker would look up in vain; raises Invalid."""
        for plane, known in enumerate(self.vocabulary[: len(self.shape)]):
            words = data if len(self.shape) == 1 else data[:, plane]
            if words.min() < 0 or words.max() >= known:
                raise Invalid(f"{('words', 'types of words')[plane]} are numbers from 0 to {known - 1}, not {words.min()} to {words.max()}")
        return data

    def most_body_bytes(self, rows: int) -> int:
        """How long a request of so many rows may be: whoever sends more would keep the others waiting while it is read."""
        return ROOM_BYTES + rows * int(np.prod(self.shape)) * NUMBER_BYTES

    def _shape(self, rows: int) -> list[int]:
        return [rows, *self.shape]

    def described(self) -> dict[str, Any]:
        """The model's metadata as the protocol wants it, without versions and parameters."""
        return {
            "name": self.name,
            "platform": "superserve_supernet",
            "inputs": [{"name": INPUT, "datatype": self.datatype, "shape": self._shape(-1)}],
            "outputs": [{"name": OUTPUT, "datatype": DATATYPE, "shape": [-1, self.classes]}],
        }


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself when it has loaded.

    That is its model, where its latencies come from (`Worker.describe`), and how many batches it can hold at once.
    """

    model: Model
    hardware: Mapping[str, Any] = field(default_factory=dict)
    slots: int = 1


def _only(inputs: Sequence[Tensor]) -> Tensor:
    if len(inputs) != 1 or inputs[0].name != INPUT:
        raise Invalid(f"the model takes one input, {INPUT!r}, not {[tensor.name for tensor in inputs]}")
    return inputs[0]
