"""What every call of the gRPC door does: who may ask, which headers count, how a refusal is said."""

from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

import grpc
import grpc.aio

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.serving.refusals import Busy, Refusal

Context: TypeAlias = grpc.aio.ServicerContext
Allowed = Callable[[bytes | None], bool]
"""Whether an Authorization header lets its sender in."""

AUTHORIZATION: Final = "authorization"
OBJECTIVES: Final = "x-superserve-"
"""What metadata begins with that says something about a request, as the HTTP headers of these names do."""
MS_PER_S: Final = 1000


async def refuse(context: Context, refusal: Refusal) -> NoReturn:
    """End a call without its answer; who may come again is told when."""
    again = _again(refusal) if isinstance(refusal, Busy) else ()
    await context.abort(grpc.StatusCode[refusal.code], str(refusal), again)
    raise AssertionError("abort does not return")


def _again(busy: Busy) -> tuple[tuple[str, str], ...]:
    return ("retry-after", str(busy.retry_after_s)), ("grpc-retry-pushback-ms", str(busy.retry_after_s * MS_PER_S))


async def let_in(context: Context, allowed: Allowed) -> None:
    """End the call of somebody without a key."""
    if not allowed(_authorization(context)):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "send the metadata `authorization: Bearer KEY` with a key of this server")


def _authorization(context: Context) -> bytes | None:
    found = [value for key, value in context.invocation_metadata() or () if key == AUTHORIZATION]
    return found[0].encode() if len(found) == 1 and isinstance(found[0], str) else None


def headers(context: Context) -> dict[bytes, bytes]:
    """The metadata that a model looks at, as HTTP headers are given to it."""
    said = context.invocation_metadata() or ()
    return {key.encode(): value.encode() for key, value in said if key.startswith(OBJECTIVES) and isinstance(value, str)}


def within_ns(context: Context) -> int | None:
    """How long the client will wait, if it said so."""
    return None if (left := context.time_remaining()) is None else max(0, int(left * NS_PER_S))
