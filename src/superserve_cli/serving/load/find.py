"""A server is asked about itself before the first request."""

import time
from typing import Any, Final

from superserve_cli.errors import BadOption, Unreachable
from superserve_cli.serving.load import ask_http, ask_rpc
from superserve_cli.serving.load.place import OPEN, Access, parse
from superserve_cli.serving.load.target import Target

PAUSE_S: Final = 0.2


def describe(target: str, model: str | None = None, access: Access = OPEN) -> dict[str, Any]:
    """What a server says of its model: the metadata's `parameters`, with `model`, `server`, `platform` and `url` beside them.

    Of our own server the parameters name task, seed, supernet, profile, policy, late, workers, slo_us and the subnets; other
    servers may say nothing. Raises Unreachable when nothing answers, when it is not this protocol, when it is not ready.
    """
    return find(target, model, access).description


def wait(target: str, patience_s: float, access: Access = OPEN) -> None:
    """Come back when the server at `target` is ready; raises Unreachable when it still is not after so many seconds, BadOption for NaN."""
    if not patience_s >= 0:
        raise BadOption(f"{patience_s:g} seconds is no time to wait", hint="give a number of at least 0")
    end = time.monotonic() + patience_s
    while True:
        try:
            find(target, None, access)
        except Unreachable:
            if time.monotonic() >= end:
                raise
            time.sleep(PAUSE_S)
        else:
            return


def find(target: str, model: str | None = None, access: Access = OPEN) -> Target:
    """The model that a URL names (or the only one that the server has); raises Unreachable, Unknown and BadOption."""
    place = parse(target)
    return ask_rpc.find(place, model, access) if place.rpc else ask_http.find(place, model, access)
