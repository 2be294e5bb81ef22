"""What a connection speaks, apart from the socket: requests to bytes, bytes to answers."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

Buffer = bytes | memoryview
OK: Final = 200


class Nonsense(Exception):
    """Bytes that are not of the protocol."""


class Answered(NamedTuple):
    """A whole answer: its status as HTTP has it, its body (an error's text for gRPC), and how much of it is JSON (None: no header says)."""

    status: int
    body: bytes
    json_bytes: int | None
    again: bool
    """Whether the connection can be asked again."""


class Codec(Protocol):
    """One connection's protocol, one request at a time. It does no input or output itself."""

    control: list[Buffer]
    """What must be sent besides requests: acknowledgements, and what had to wait for leave."""

    def greeting(self) -> Sequence[Buffer]:
        """What a client says first."""
        ...

    def ask(self, parts: Sequence[Buffer]) -> Sequence[Buffer]:
        """A request's bytes, as far as they may go out now; the rest comes through `control`."""
        ...

    def feed(self, data: memoryview) -> Answered | None:
        """Bytes arrived: the answer that they complete, if they do; raises Nonsense."""
        ...

    def take_control(self) -> list[Buffer]:
        """What must be sent besides requests, once."""
        ...
