"""The bytes of every request: all but the time that is left is made before the run."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from superserve_cli.errors import BadOption
from superserve_cli.serving.load.answers import Answer, read_answer, read_complaint
from superserve_cli.serving.load.inputs import Draw
from superserve_cli.serving.load.target import Target
from superserve_cli.serving.load.wire import Buffer
from superserve_cli.serving.protocol import InferRequest, Tensor, write_request
from superserve_cli.serving.refusals import Invalid

MARK: Final = 11_111_111_111_111_111_111
"""Stands where the time left will be written; JSON allows the blanks that fill it up."""
WIDTH: Final = len(str(MARK))


class Questions(Protocol):
    """What is sent for each request, and how the answers to it read."""

    def message(self, id: int, timeout_us: int) -> Sequence[Buffer]:
        """A whole request, which says that `timeout_us` are left."""
        ...

    def answer(self, id: int, body: bytes, json_bytes: int | None) -> Answer:
        """What an inference answer says; raises Broken."""
        ...

    def complaint(self, status: int, body: bytes) -> str:
        """What a refusal says, in a line."""
        ...


class Pieces:
    """The raw rows that each request takes, and their classes. Nothing is copied."""

    def __init__(self, draw: Draw) -> None:
        self._first: list[int] = draw.first.tolist()
        self._count: list[int] = draw.count.tolist()
        self._labels: list[int] | None = None if draw.labels is None else draw.labels.tolist()
        self._rows = [(tensor.reshape(-1).view(np.uint8).data, tensor[0].nbytes) for tensor in draw.tensors]

    def labels(self, id: int) -> list[int] | None:
        """The true classes of a request's rows, None when they are not known."""
        first = self._first[id]
        return None if self._labels is None else self._labels[first : first + self._count[id]]

    def raw(self, id: int) -> list[memoryview]:
        """The bytes of each input's rows."""
        first, last = self._first[id], self._first[id] + self._count[id]
        return [every[first * size : last * size] for every, size in self._rows]


class HttpQuestions:
    """Requests as HTTP. Time and floor have a fixed width, so that the length of a message, and its whole head, is known beforehand."""

    def __init__(self, target: Target, headers: Mapping[str, str], draw: Draw) -> None:
        self._target = target
        self._headers = headers
        self._draw = draw
        self._pieces = Pieces(draw)
        self._floors = _floor_fields(draw.floor.tolist())
        # what decides a request's text: its number of rows, and where the tensor is part of the text, the tensor
        firsts = [0] * len(draw.first) if target.binary else draw.first.tolist()
        cells = list(zip(firsts, draw.count.tolist(), strict=True))
        templates = {cell: self._template(*cell) for cell in set(cells)}
        self._templates = [templates[cell] for cell in cells]

    def message(self, id: int, timeout_us: int) -> Sequence[Buffer]:
        """A whole HTTP request, which says that `timeout_us` are left."""
        before, after = self._templates[id]
        text = b"%b%-*d%b%b" % (before, WIDTH, timeout_us, self._floors[id], after)
        return (text, *self._pieces.raw(id)) if self._target.binary else (text,)

    def answer(self, id: int, body: bytes, json_bytes: int | None) -> Answer:
        """What an inference answer says; raises Broken."""
        return read_answer(body, json_bytes, self._pieces.labels(id))

    def complaint(self, status: int, body: bytes) -> str:
        """What a refusal says, in a line."""
        return read_complaint(status, body)

    def _template(self, first: int, count: int) -> tuple[bytes, bytes]:
        """What stands before the time left, HTTP head included, and what follows the floor."""
        request = InferRequest(self._tensors(first, count), parameters={"timeout": MARK}, binary_output=self._target.binary)
        try:
            body, header = write_request(request, self._target.binary)
        except Invalid as error:
            raise BadOption(f"the samples cannot be sent to {self._target.place}: {error}", hint="choose another model") from None
        before, after = body[:header].split(str(MARK).encode(), 1)
        floor = max(map(len, self._floors), default=0)
        return self._head(None if header is None else header + floor, len(body) + floor) + before, after

    def _tensors(self, first: int, count: int) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(one.name, one.datatype, tensor[first : first + count] if one.stacked else tensor[first])
            for one, tensor in zip(self._target.inputs, self._draw.tensors, strict=True)
        )

    def _head(self, header: int | None, length: int) -> bytes:
        kind = "application/json" if header is None else f"application/octet-stream\r\nInference-Header-Content-Length: {header}"
        lines = (
            f"POST {self._target.path} HTTP/1.1",
            f"Host: {self._target.place.authority}",
            f"Content-Type: {kind}",
            f"Content-Length: {length}",
            *(f"{name}: {value}" for name, value in self._headers.items()),
            "",
            "",
        )
        return "\r\n".join(lines).encode()


def _floor_fields(floors: Sequence[float]) -> list[bytes]:
    """What follows the time left: nothing but blanks where there is no floor."""
    fields = {floor: b',"min_accuracy":%a' % floor if floor > 0 else b"" for floor in set(floors)}
    width = max(map(len, fields.values()), default=0)
    return [fields[floor].ljust(width) for floor in floors]
