from collections.abc import Sequence
from typing import Final

import httptools

from superserve_cli.serving.load.wire import Answered, Buffer, Nonsense

JSON_BYTES: Final = b"inference-header-content-length"


class Http1:
    """HTTP/1.1 with keep-alive."""

    def __init__(self) -> None:
        self.control: list[Buffer] = []
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._json_bytes: int | None = None
        self._answer: Answered | None = None

    def greeting(self) -> Sequence[Buffer]:
        """Nothing: the first request is the beginning."""
        return ()

    def ask(self, parts: Sequence[Buffer]) -> Sequence[Buffer]:
        """All of it."""
        return parts

    def feed(self, data: memoryview) -> Answered | None:
        """Bytes arrived; raises Nonsense."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # our own bug, in one of the methods below
        except httptools.HttpParserError as error:
            raise Nonsense(f"not HTTP: {error}") from None
        answer, self._answer = self._answer, None
        return answer

    def take_control(self) -> list[Buffer]:
        """Nothing is ever sent besides requests."""
        return []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if len(name) == len(JSON_BYTES) and name.lower() == JSON_BYTES and value.isdigit():
            self._json_bytes = int(value)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._answer = Answered(self._parser.get_status_code(), body, self._json_bytes, self._parser.should_keep_alive())
        self._body, self._json_bytes = [], None
