"""What an exported file says about itself: its metadata property `superserve`, a JSON object. Knows no torch."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from superserve_cli.core.nouns import Subnet
from superserve_cli.errors import BadFile

SCHEMA: Final = "onnx/1"
KEY: Final = "superserve"
HINT: Final = "write one with `superserve export`"
LARGEST_PROTO: Final = 2**31 - 1
"""What a protobuf message may hold at most; a file that is larger is none (its weights lie in a file beside it)."""

Form = Literal["subnet", "supernet"]


@dataclass(frozen=True, slots=True)
class Control:
    """One subnet of a file, and what actuates it in a whole SuperNet: the control tuple (depth, width) and its row of statistics.

    `accuracy` is measured on the test split of the SuperNet's task, or on its validation split; None: not known.
    """

    id: Subnet
    row: int
    depth: tuple[int, ...]
    width: tuple[int, ...]
    macs: int
    params: int
    accuracy: float | None = None

    def feeds(self) -> dict[str, NDArray[np.int64]]:
        """The inputs of a whole SuperNet that actuate this subnet."""
        named = {"depth": self.depth, "width": self.width, "subnet": self.row}
        return {name: np.array(value, np.int64) for name, value in named.items()}


@dataclass(frozen=True, slots=True)
class Described:
    """What a file holds: one `subnet`, or a whole `supernet` whose subnets are listed as controls.

    Tensors of both forms: `input` (n, *shape) of `dtype`, `logits` (n, classes) float32; of a `supernet` also `depth` int64
    [stages], `width` int64 [groups] and `subnet` int64 []. `hash` is that of the SuperNet that it came from; `task` is empty where
    none is known. `vocabulary`: how many words an int64 input may name, and how many types of words in its second plane.
    """

    form: Form
    name: str
    hash: str
    family: str
    shape: tuple[int, ...]
    dtype: str
    classes: int
    task: Mapping[str, Any]
    subnets: tuple[Control, ...]
    vocabulary: tuple[int, ...] = ()

    def control(self, subnet: Subnet) -> Control:
        """What actuates a subnet; raises KeyError."""
        return {control.id: control for control in self.subnets}[subnet]

    def to_json(self) -> dict[str, Any]:
        """What is written."""
        named = {name: getattr(self, name) for name in ("form", "name", "hash", "family", "dtype", "classes")}
        lists = {"shape": list(self.shape), "vocabulary": list(self.vocabulary), "subnets": [*map(_plain, self.subnets)]}
        return {"schema": SCHEMA, **named, "task": dict(self.task), **lists}

    @property
    def text(self) -> str:
        """The metadata property itself."""
        return json.dumps(self.to_json(), allow_nan=False)


def _plain(control: Control) -> dict[str, Any]:
    named = {name: getattr(control, name) for name in ("id", "row", "macs", "params", "accuracy")}
    return {**named, "depth": list(control.depth), "width": list(control.width)}


def read(path: Path) -> Described:
    """What an ONNX file says about itself; its weights are not looked at. Raises BadFile for a file of anybody else's."""
    if not path.is_file():
        raise BadFile(f"{path} is no file" if path.exists() else f"there is no {path}", hint=HINT)
    return parse(path, _properties(path))


def _properties(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > LARGEST_PROTO:
            raise BadFile(f"{path} is too large for an ONNX file", hint=HINT)
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}", hint=HINT) from error
    except DecodeError as error:
        raise BadFile(f"{path} is not a whole ONNX file", hint=HINT) from error
    return {entry.key: entry.value for entry in model.metadata_props}


def parse(path: Path, properties: Mapping[str, str]) -> Described:
    """The same from the metadata properties of a model that is open already; `path` is for complaints."""
    try:
        said = json.loads(properties[KEY])
        schema = said["schema"]
    except (KeyError, TypeError, ValueError):
        raise BadFile(f"{path} does not say which subnets it holds", hint=HINT) from None
    if schema != SCHEMA:
        raise BadFile(f"{path} holds {schema}, not {SCHEMA}", hint=HINT)
    try:
        return Described(
            form=_form(said["form"]),
            name=str(said["name"]),
            hash=str(said["hash"]),
            family=str(said["family"]),
            shape=tuple(map(int, said["shape"])),
            dtype=str(said["dtype"]),
            classes=int(said["classes"]),
            task=dict(said["task"]),
            subnets=tuple(_controls(said["subnets"])),
            vocabulary=tuple(map(int, said.get("vocabulary", ()))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: its description is damaged ({type(error).__name__}: {error})", hint=HINT) from error


def _form(said: object) -> Form:
    if said == "subnet":
        return "subnet"
    if said == "supernet":
        return "supernet"
    raise ValueError(f"form is {said!r}")


def _controls(rows: list[dict[str, Any]]) -> Iterator[Control]:
    if not rows:
        raise ValueError("no subnets")
    for row in rows:
        accuracy = row.get("accuracy")
        yield Control(
            id=str(row["id"]),
            row=int(row["row"]),
            depth=tuple(map(int, row["depth"])),
            width=tuple(map(int, row["width"])),
            macs=int(row["macs"]),
            params=int(row["params"]),
            accuracy=None if accuracy is None else float(accuracy),
        )
