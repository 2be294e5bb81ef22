"""A server's `/live`, asked again and again: what is new is added to what is known, also across restarts of the server."""

from collections import deque
from typing import Any, Final

from superserve_cli.errors import BadOption, Unreachable
from superserve_cli.serving.load.ask_http import LOCKED, Asker
from superserve_cli.serving.load.place import OPEN, Access, parse
from superserve_cli.serving.load.wire import OK

KEPT: Final = 600
OURS: Final = "`superserve top` shows servers that `superserve serve` has started"

State = dict[str, Any]


class Feed:
    """The state of one server, and its last samples; both stay as they are while it does not answer.

    Raises BadOption for what is no http(s) URL.
    """

    def __init__(self, url: str, access: Access = OPEN) -> None:
        place = parse(url, called="")
        if place.rpc:
            raise BadOption(f"{url} is no http URL", hint="give the address of its page, http://HOST:PORT")
        self.url = str(place)
        self._ask = Asker(place, access)
        self.state: State | None = None
        self.samples: deque[State] = deque(maxlen=KEPT)

    def poll(self) -> State:
        """Ask for what is new, and return the state; raises Unreachable when nothing answers, or something that is not our server."""
        known = self.state
        answer = self._live(0 if known is None else known["last"])
        if known is not None and answer["started_unix_s"] != known["started_unix_s"]:
            answer = self._live(0)
        self.state = {name: value for name, value in answer.items() if name != "samples"}
        self.samples.extend(answer["samples"])
        return self.state

    def _live(self, since: int) -> State:
        status, said = self._ask(f"/live/{since}")
        if status in LOCKED:
            raise Unreachable(f"{self.url} asks for an API key", hint="give it with --api-key, or in SUPERSERVE_API_KEY")
        if status != OK or not isinstance(said, dict) or "samples" not in said:
            raise Unreachable(f"{self.url} is {self._other()} (GET /live: status {status})", hint=OURS)
        return said

    def _other(self) -> str:
        """What stands there instead of our server."""
        status, said = self._ask("/v2")
        if status == OK and isinstance(said, dict) and "name" in said:
            return f"a v2 server that calls itself {said['name']!r}"
        return "no superserve"
