"""The bytes of every request: all but the time that is left is made before the run."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.errors import BadOption
from superserve_cli.serving.load.target import Target
from superserve_cli.serving.protocol import InferRequest, Tensor, write_request
from superserve_cli.serving.refusals import Invalid
from superserve_cli.serving.tensors import DTYPES
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace

MARK: Final = 11_111_111_111_111_111_111
"""Stands where the time left will be written; JSON allows the blanks that fill it up."""
WIDTH: Final = len(str(MARK))
SHUFFLE_SEED: Final = 0
NUMBERS: Final = {name: dtype for name, dtype in DTYPES.items() if name != "BYTES"}
FLOATS: Final = ("FP16", "FP32", "FP64")
INTEGERS: Final = ("INT32", "INT64", "UINT32", "UINT64")
"""What words are sent as."""


class Questions:
    """What is sent for each request of a trace: its rows of the samples (zeros when there are none), its floor, its time left.

    Time and floor have a fixed width, so that the length of a message, and with it its whole head, is known beforehand.
    """

    def __init__(self, target: Target, trace: Trace, samples: Split | None) -> None:
        rows = np.ones(len(trace), np.int64) if trace.size is None else trace.size.astype(np.int64)
        most = int(rows.max(initial=1))
        self._target = target
        self._x = _zeros(target, most) if samples is None else _checked(target, samples, most)
        self._labels: list[int] | None = None if samples is None else np.resize(samples.y, len(self._x)).tolist()
        # shuffled, because a sorted test set would show a short run one class only
        order = np.random.default_rng(SHUFFLE_SEED).permutation(len(self._x))
        self._first: list[int] = np.minimum(np.resize(order, len(trace)), len(self._x) - rows).tolist()
        self._rows: list[int] = rows.tolist()
        self._floors = [b""] * len(trace) if trace.min_accuracy is None else _floor_fields(trace.min_accuracy.tolist())
        self._bytes = self._x.reshape(-1).view(np.uint8).data
        self._row_bytes = self._x[0].nbytes if target.binary else 0
        self._templates = {cell: self._template(*cell) for cell in set(map(self._cell, range(len(trace))))}

    def labels(self, id: int) -> list[int] | None:
        """The true classes of a request's rows, None when the samples have none."""
        first = self._first[id]
        return None if self._labels is None else self._labels[first : first + self._rows[id]]

    def message(self, id: int, timeout_us: int) -> bytes:
        """A whole HTTP request, which says that `timeout_us` are left."""
        before, after = self._templates[self._cell(id)]
        start, length = self._first[id] * self._row_bytes, self._rows[id] * self._row_bytes
        return b"".join((before, b"%-*d" % (WIDTH, timeout_us), self._floors[id], after, self._bytes[start : start + length]))

    def _cell(self, id: int) -> tuple[int, int]:
        """What decides a request's text: its number of rows, and where the tensor is part of the text, the tensor."""
        return (0 if self._target.binary else self._first[id]), self._rows[id]

    def _template(self, first: int, rows: int) -> tuple[bytes, bytes]:
        """What stands before the time left, HTTP head included, and what follows the floor."""
        tensor = Tensor(self._target.input, self._target.datatype, self._x[first : first + rows])
        request = InferRequest((tensor,), parameters={"timeout": MARK}, binary_output=self._target.binary)
        try:
            body, header = write_request(request, self._target.binary)
        except Invalid as error:
            raise BadOption(f"the samples cannot be sent to {self._target.place}: {error}", hint="choose another model") from None
        before, after = body[:header].split(str(MARK).encode(), 1)
        floor = max(map(len, self._floors), default=0)
        return _head(self._target, None if header is None else header + floor, len(body) + floor) + before, after


def _head(target: Target, header: int | None, length: int) -> bytes:
    kind = "application/json" if header is None else f"application/octet-stream\r\nInference-Header-Content-Length: {header}"
    lines = (
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.place.authority}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def _floor_fields(floors: Sequence[float]) -> list[bytes]:
    """What follows the time left: nothing but blanks where there is no floor."""
    fields = {floor: b',"min_accuracy":%a' % floor if floor > 0 else b"" for floor in set(floors)}
    width = max(map(len, fields.values()), default=0)
    return [fields[floor].ljust(width) for floor in floors]


def _zeros(target: Target, rows: int) -> NDArray[Any]:
    return np.zeros((rows, *(max(n, 1) for n in target.shape)), _dtype(target, NUMBERS))


def _checked(target: Target, samples: Split, rows: int) -> NDArray[Any]:
    """The samples as the model wants them, at least `rows` of them; another shape, or images to a model of words, is refused."""
    shape = samples.x.shape[1:]
    if len(shape) != len(target.shape) or any(wanted not in (-1, has) for wanted, has in zip(target.shape, shape, strict=True)):
        raise BadOption(
            f"{target.description['model']} at {target.place} takes tensors of shape {list(target.shape)}, the samples have {list(shape)}",
            hint="choose the task that its SuperNet was built for",
        )
    x = np.resize(samples.x, (max(rows, len(samples.x)), *shape))
    return np.ascontiguousarray(x, _dtype(target, FLOATS if x.dtype.kind == "f" else INTEGERS))


def _dtype(target: Target, allowed: Collection[str]) -> np.dtype[Any]:
    if target.datatype not in allowed:
        raise BadOption(
            f"{target.description['model']} at {target.place} takes {target.datatype}, which these samples are not",
            hint=f"choose a model that takes one of {', '.join(allowed)}",
        )
    return DTYPES[target.datatype]
