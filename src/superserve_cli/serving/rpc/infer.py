"""`ModelInfer` and `ModelStreamInfer`: requests to the desk, answers back when they are ready."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
import grpc.aio

from superserve_cli.serving.desk import Cancel, Desk
from superserve_cli.serving.protocol import NOWHERE, InferRequest, InferResponse
from superserve_cli.serving.refusals import Refusal
from superserve_cli.serving.rpc.codec import read_request, write_response
from superserve_cli.serving.rpc.door import Context, headers, refuse, within_ns
from superserve_cli.serving.rpc.messages import ModelInferResponse, ModelStreamInferResponse

MOST_STREAMED: Final = 1024
"""Requests of one stream that are taken before an answer must have been read."""
ASKS_FOR_FINAL: Final = "triton_enable_empty_final_response"
FINAL: Final = "triton_final_response"
"""What clients that ask so look for in a stream's answers; here every answer is the last one of its request."""

Parse = Callable[[bytes], Any]
"""The ModelInferRequest that some bytes hold; raises Refusal."""


class Waiting:
    """A call that waits for its answer; one that has ended hears nothing."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()

    def answered(self, response: InferResponse) -> None:
        """Here it is."""
        if not self.future.done():
            self.future.set_result(response)

    def refused(self, refusal: Refusal) -> None:
        """It will not come."""
        if not self.future.done():
            self.future.set_exception(refusal)


async def infer(desk: Desk, parse: Parse, body: bytes, context: Context) -> bytes:
    """Answer one request; a client that goes, or whose deadline passes, gives its place back."""
    try:
        message = parse(body)
        asked = read_request(message, desk.regions.read, within_ns(context))
        waiting = Waiting()
        cancel = desk.model(message.model_name, message.model_version).infer(asked, message.model_version, headers(context), waiting)
        try:
            response = await waiting.future
        except asyncio.CancelledError:
            cancel()
            raise
        answer: bytes = _message(desk, asked, response).SerializeToString()
    except Refusal as refusal:
        await refuse(context, refusal)
    return answer


def _message(desk: Desk, asked: InferRequest, response: InferResponse) -> Any:
    """The message of an answer, with those outputs in shared memory that are wanted there; raises Refusal."""
    placed = desk.put(asked, response) if asked.outputs else NOWHERE
    return write_response(response, asked.binary_output, placed)


class Stream:
    """A client's stream: many requests at a time, answers in the order in which they are ready, refusals among them."""

    def __init__(self, desk: Desk, parse: Parse, context: Context) -> None:
        self._desk = desk
        self._parse = parse
        self._context = context
        self._headers = headers(context)
        self._room = asyncio.Semaphore(MOST_STREAMED)
        self._asked: set[_Asked] = set()
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._draining = False
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._has_read)

    async def run(self) -> None:
        """Write the answers, until there will be no more; a client that goes gives its places back."""
        try:
            while (answer := await self._answers.get()) is not None:
                await self._context.write(answer)
                self._room.release()
            if self._draining:
                await self._context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
            await self._reading
        finally:
            self._reading.cancel()
            for asked in list(self._asked):
                asked.cancel()

    def drain(self) -> None:
        """Take nothing more, and end once everything is answered."""
        self._draining = True
        self._reading.cancel()

    def tell(self, asked: "_Asked", answer: Any) -> None:
        """Send what has become of a request."""
        self._asked.discard(asked)
        self._answers.put_nowait(answer.SerializeToString())
        self._end_if_answered()

    async def _read(self) -> None:
        while (body := await self._context.read()) is not grpc.aio.EOF:
            await self._room.acquire()
            self._ask(body)

    def _ask(self, body: bytes) -> None:
        asked = _Asked(self, self._desk)
        self._asked.add(asked)
        asked.ask(self._parse, body, within_ns(self._context), self._headers)

    def _has_read(self, reading: asyncio.Task[None]) -> None:
        if reading.cancelled() or reading.exception() is None:
            self._end_if_answered()
        else:  # which is our own bug: `run` raises it
            self._answers.put_nowait(None)

    def _end_if_answered(self) -> None:
        if self._reading.done() and not self._asked:
            self._answers.put_nowait(None)


class _Asked:
    """One request of a stream."""

    __slots__ = ("_asked", "_cancel", "_desk", "_id", "_stream")

    def __init__(self, stream: Stream, desk: Desk) -> None:
        self._stream = stream
        self._desk = desk
        self._id = ""
        self._asked: InferRequest | None = None
        self._cancel: Cancel | None = None

    def ask(self, parse: Parse, body: bytes, within: int | None, said: Mapping[bytes, bytes]) -> None:
        """Hand it in, or say why that cannot be."""
        desk = self._desk
        try:
            message = parse(body)
            self._id = message.id
            self._asked = read_request(message, desk.regions.read, within)
            self._cancel = desk.model(message.model_name, message.model_version).infer(self._asked, message.model_version, said, self)
        except Refusal as refusal:
            self.refused(refusal)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._cancel is not None:
            self._cancel()

    def answered(self, response: InferResponse) -> None:
        """Send it."""
        assert self._asked is not None
        try:
            answer = _message(self._desk, self._asked, response)
        except Refusal as refusal:
            self.refused(refusal)
            return
        if self._asked.parameters.get(ASKS_FOR_FINAL):
            answer.parameters[FINAL].bool_param = True
        self._stream.tell(self, ModelStreamInferResponse(infer_response=answer))

    def refused(self, refusal: Refusal) -> None:
        """Say why it will not come; the stream goes on."""
        named = ModelInferResponse(id=self._id)
        self._stream.tell(self, ModelStreamInferResponse(error_message=str(refusal), infer_response=named))
