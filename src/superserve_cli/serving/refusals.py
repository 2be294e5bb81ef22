"""Why a client gets something else than what it asked for: one exception per reason, whatever it speaks.

Refusal
|-- Invalid         it cannot be understood or served: the client's to put right
|   `-- BadEncoding it is compressed in a way that this server does not know
|-- Missing         there is no such model, version, region or path
|-- Unsupported     the protocol has it, this server does not
|-- TooLarge        more than this server takes at once
|-- Busy            not now: come again
|   `-- Failed      it was taken, and nobody could run it
`-- TooLate         the deadline could not be met
"""

from typing import ClassVar, Final

MOST_MESSAGE: Final = 1000


class Refusal(Exception):
    """A request's end without its answer: `status` is what HTTP calls the reason, `code` gRPC's name of it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str) -> None:
        # what a client sent may stand in it, however long that was
        super().__init__(message if len(message) <= MOST_MESSAGE else f"{message[:MOST_MESSAGE]}...")


class Invalid(Refusal):
    """A request that cannot be understood or served: the client's to put right."""

    status, code = 400, "INVALID_ARGUMENT"


class BadEncoding(Invalid):
    """A body in a coding that nobody here reads."""

    status = 415


class Missing(Refusal):
    """There is no such thing."""

    status, code = 404, "NOT_FOUND"


class Unsupported(Refusal):
    """The protocol has it, and this server does not."""

    status, code = 501, "UNIMPLEMENTED"


class TooLarge(Refusal):
    """More than this server takes at once."""

    status, code = 413, "RESOURCE_EXHAUSTED"


class Busy(Refusal):
    """No place for this request now; the client may come again after `retry_after_s` seconds."""

    status, code = 503, "UNAVAILABLE"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooLate(Refusal):
    """The request's deadline could not be met."""

    status, code = 504, "DEADLINE_EXCEEDED"


class Failed(Busy):
    """The request was taken, and nobody could run it."""
