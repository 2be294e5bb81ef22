import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from superserve_cli.serving.load.inputs import NUMBERS

SENSIBLE: Final = 2**31
"""No accuracy, batch size or number of microseconds is as large; NaN is not smaller either."""


class Broken(Exception):
    """An answer with status 200 that is not what the protocol promises."""


class Answer(NamedTuple):
    """What an inference answer says; None, NaN and -1 where it does not."""

    subnet: str | None
    accuracy: float
    batch_size: int
    compute_ns: int
    correct: bool | None


def read_answer(body: bytes, json_bytes: int | None, labels: list[int] | None) -> Answer:
    """An inference answer; `json_bytes` is its Inference-Header-Content-Length, None where all is JSON. Raises Broken.

    It is correct when all its rows are. This stands in the way of every request, so it reads what it needs and no more.
    """
    try:
        said = json.loads(body if json_bytes is None else body[:json_bytes])
        output = said["outputs"][0]
        classes = None if labels is None else classes_of(_values(output, body, json_bytes), output["shape"], len(labels))
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise Broken(f"a broken answer: {type(error).__name__}: {error}") from None
    parameters = said.get("parameters")
    return known_answer(parameters if isinstance(parameters, dict) else {}, None if classes is None else classes == labels)


def known_answer(known: Mapping[str, Any], correct: bool | None) -> Answer:
    """An answer from the parameters it carries."""
    return Answer(
        subnet=known["subnet"] if isinstance(known.get("subnet"), str) else None,
        accuracy=_number(known, "accuracy", np.nan),
        batch_size=int(_number(known, "batch_size", -1)),
        compute_ns=round(_number(known, "compute_us", -0.001) * 1000),
        correct=correct,
    )


def read_complaint(status: int, body: bytes) -> str:
    """What a refusal says, in a line."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        said = body.decode(errors="replace")
    return f"status {status}: {' '.join(str(said).split())[:120]}".rstrip(": ")


def _number(parameters: Mapping[str, Any], name: str, missing: float) -> float:
    value: Any = parameters.get(name)
    return value if type(value) in (int, float) and abs(value) < SENSIBLE else missing  # a bool is no number here


def classes_of(values: NDArray[Any], shape: list[int], rows: int) -> list[int]:
    """The class of each row: where its largest output stands, or its only output itself; raises Broken."""
    table = values.reshape(rows, -1)
    if shape[0] != rows or table.size == 0:
        raise Broken(f"a broken answer: outputs {shape} for {rows} rows")
    classes: list[int] = (table[:, 0] if table.shape[1] == 1 else table.argmax(axis=1)).tolist()
    return classes


def _values(output: dict[str, Any], body: bytes, json_bytes: int | None) -> NDArray[Any]:
    """The numbers of the first output."""
    if json_bytes is None or "data" in output:
        return np.array(output["data"], np.float64)
    dtype = NUMBERS[output["datatype"]]
    return np.frombuffer(body, dtype, count=output["parameters"]["binary_data_size"] // dtype.itemsize, offset=json_bytes)
