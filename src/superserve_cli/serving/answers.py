"""What all routes have in common: reading a body, sending JSON, and refusing in the one shape that all errors have."""

import json
from collections.abc import Collection
from typing import Final

from superserve_cli.serving.encodings import WINDOW_BITS, inflated
from superserve_cli.serving.exchange import JSON, Body, Exchange
from superserve_cli.serving.refusals import BadEncoding, Busy, Refusal

IDENTITY: Final = b"identity"


def content(exchange: Exchange, most_bytes: int) -> Body:
    """The body of a request, inflated where it is compressed; raises Invalid, TooLarge and BadEncoding."""
    coding = exchange.headers.get(b"content-encoding", IDENTITY)
    if coding == IDENTITY:
        return exchange.body
    if (name := coding.decode("latin-1").strip().lower()) not in WINDOW_BITS:
        raise BadEncoding(f"Content-Encoding {name[:40]} is not supported: send {', '.join(WINDOW_BITS)}, or the body as it is")
    return inflated(exchange.body, name, most_bytes)


def allowed(exchange: Exchange, methods: Collection[str]) -> bool:
    """Whether a path takes the method; if not, the exchange has been told so."""
    if exchange.method in methods or (exchange.method == "HEAD" and "GET" in methods):
        return True
    exchange.fail(405, f"{exchange.path[:200]} takes {' and '.join(methods)}", f"Allow: {', '.join(methods)}\r\n")
    return False


def refuse(exchange: Exchange, refusal: Refusal) -> None:
    """Say why there is no answer."""
    again = f"Retry-After: {refusal.retry_after_s}\r\n" if isinstance(refusal, Busy) else ""
    exchange.fail(refusal.status, str(refusal), again)


def send(exchange: Exchange, value: object, status: int = 200) -> None:
    """Answer in JSON."""
    exchange.respond(status, json.dumps(value).encode(), JSON)


def send_ready(exchange: Exchange, unready: str, named: dict[str, str]) -> None:
    """Say whether somebody is ready, `unready` being why not."""
    if unready:
        send(exchange, {**named, "ready": False, "error": unready}, 503)
    else:
        send(exchange, {**named, "ready": True})
