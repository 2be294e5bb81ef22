"""What the HTTP connections of one server share: who is there, what they may, and the memory that requests arrive in."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from superserve_cli.serving.buffers import Buffers
from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.heads import Heads
from superserve_cli.serving.room import Room

MOST_CONNECTIONS: Final = 4096
PATIENCE_S: Final = 30.0
"""How long a request may take to arrive whole, and answers to be read."""
IDLE_S: Final = 75.0
"""How long a client may keep a connection that it asks nothing on."""
LEAST_IDLE_S: Final = 1.0
"""For so long at least it has asked nothing, if its connection is closed for a new client: it may be about to use it again."""
RECEIVE_BYTES: Final = 16 * 1024
"""Holds a head and a small body: what is read here is copied once more, so what is long shall not be."""


Handler = Callable[[Exchange], None]
"""Answers an exchange, now or later."""


class Guest(Protocol):
    """A client's connection, as its site sees it."""

    idle_since_s: float

    def close_when_idle(self) -> None:
        """Close now if no answer is owed; else the last answer closes."""
        ...

    def close_when_slow(self, since_s: float) -> None:
        """Close if a request has been incomplete, or answers have been unread, since this time."""
        ...


@dataclass
class Site:
    """What all connections of a server share. `room` bounds the bodies that are arriving."""

    handler: Handler
    most_body_bytes: int
    most_connections: int = MOST_CONNECTIONS
    room: Room = field(default_factory=Room)
    idle_s: float = IDLE_S
    draining: bool = False
    allowed: Callable[[Exchange], bool] | None = None
    """Whether who asks may, judged by the head; None where everybody may."""

    def __post_init__(self) -> None:
        self.connections: set[Guest] = set()
        self.idle: dict[Guest, None] = {}
        # one buffer for all connections: the loop reads and hands over before it looks at the next one, and what stays is copied out
        self.received = bytearray(RECEIVE_BYTES)
        self.buffer = memoryview(self.received)
        self.buffers = Buffers()
        self.heads = Heads()
        # a clock that is read once a second is good enough for who is idle, and costs a request nothing
        self.now_s = time.monotonic()

    @classmethod
    def of(cls, handler: Handler, most_body_bytes: int, most_connections: int = MOST_CONNECTIONS, room: Room | None = None) -> "Site":
        """A site with no connections yet."""
        return cls(handler, most_body_bytes, most_connections, room or Room())

    def drain(self) -> None:
        """Let every connection go once its answers are sent; idle ones now."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_when_idle()

    def let_go_of_slow(self, now_s: float) -> None:
        """Part from clients that have been slow or idle for too long at this time of `time.monotonic`; to be called now and then."""
        self.now_s = now_s
        for connection in list(self.connections):
            connection.close_when_slow(now_s - PATIENCE_S)
        while self.let_go_of_idlest(self.idle_s):
            pass

    def let_go_of_idlest(self, least_s: float) -> bool:
        """Part from the client that has been idle for longest, if that is so long; whether it was."""
        idlest = next(iter(self.idle), None)
        if idlest is None or self.now_s - idlest.idle_since_s < least_s:
            return False
        self.connections.discard(idlest)
        idlest.close_when_idle()
        return True
