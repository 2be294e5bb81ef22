from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadOption
from superserve_cli.profiles import Profile
from superserve_cli.serving.protocol import InferRequest, Tensor
from superserve_cli.serving.tensors import Invalid, from_bytes

INPUT: Final = "input"
OUTPUT: Final = "logits"
DATATYPE: Final = "FP32"
NUMBER_BYTES: Final = 64
"""A number in JSON, with all its digits, indented."""
ROOM_BYTES: Final = 64 * 1024
"""What a request may hold beside its numbers."""
VERSION: Final = "1"
"""The only version that a model has here: one SuperNet, one set of weights."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a router knows of the SuperNet that its workers hold: `shape` of an input row, `classes` of an output row."""

    name: str
    hash: str
    shape: tuple[int, ...]
    classes: int
    subnets: tuple[Subnet, ...]
    task: str | None = None
    seed: int | None = None

    def rows(self, request: InferRequest) -> NDArray[np.float32]:
        """The rows (n, *shape) that a request holds; raises Invalid for other tensors than the model takes."""
        tensor = _only(request.inputs)
        if any(wanted.name != OUTPUT for wanted in request.outputs):
            raise Invalid(f"the only output is {OUTPUT!r}")
        data = tensor.data
        if tensor.datatype != DATATYPE or data.shape[1:] != self.shape or not len(data):
            raise Invalid(f"input {INPUT!r} must be {DATATYPE} of shape {self._shape(-1)}, not {tensor.datatype} of {list(data.shape)}")
        return data

    def raw_rows(self, body: bytes) -> NDArray[np.float32]:
        """The rows that a body without JSON holds (binary tensor data extension, header length 0); raises Invalid."""
        rows, rest = divmod(len(body), 4 * int(np.prod(self.shape)))
        if rest or not rows:
            raise Invalid(f"a raw body must hold whole rows of {DATATYPE} of shape {self._shape(-1)}")
        return from_bytes(DATATYPE, (rows, *self.shape), body, 0, len(body))

    def most_body_bytes(self, rows: int) -> int:
        """How long a request of so many rows may be: whoever sends more would keep the others waiting while it is read."""
        return ROOM_BYTES + rows * int(np.prod(self.shape)) * NUMBER_BYTES

    def _shape(self, rows: int) -> list[int]:
        return [rows, *self.shape]

    def described(self) -> dict[str, Any]:
        """The model's metadata as the protocol wants it, without parameters."""
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "superserve_supernet",
            "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": self._shape(-1)}],
            "outputs": [{"name": OUTPUT, "datatype": DATATYPE, "shape": [-1, self.classes]}],
        }

    def check(self, profile: Profile) -> None:
        """Raises BadOption when the profile serves subnets that the SuperNet does not have."""
        if missing := [s for s in profile.subnets if s not in self.subnets]:
            raise BadOption(
                f"the SuperNet {self.name} has no subnet {missing[0]!r}, which the profile serves",
                hint="profile this SuperNet: `superserve profile SUPERNET --out FILE`, then `--profile FILE`",
            )


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself when it has loaded: its model, and where its latencies come from (`Worker.describe`)."""

    model: Model
    hardware: Mapping[str, Any] = field(default_factory=dict)


def _only(inputs: Sequence[Tensor]) -> Tensor:
    if len(inputs) != 1 or inputs[0].name != INPUT:
        raise Invalid(f"the model takes one input, {INPUT!r}, not {[tensor.name for tensor in inputs]}")
    return inputs[0]
