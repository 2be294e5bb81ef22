"""What stands at the paths of the extensions that manage a server: model repository, shared memory, logging and traces."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from superserve_cli.serving import live, page
from superserve_cli.serving.answers import content, refuse, send
from superserve_cli.serving.desk import Desk
from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.protocol import read_object, typed
from superserve_cli.serving.refusals import Refusal, Unsupported
from superserve_cli.serving.shared_memory import NO_CUDA

Names = tuple[str, ...]
Answer = Callable[[Desk, Exchange, Names], None]


def _index(desk: Desk, exchange: Exchange, names: Names) -> None:
    send(exchange, desk.index(typed(_asked(desk, exchange), "ready", bool, False)))


def _load(desk: Desk, exchange: Exchange, names: Names) -> None:
    desk.load(names[0], _parameters(desk, exchange), lambda refusal: _done(exchange, refusal))


def _unload(desk: Desk, exchange: Exchange, names: Names) -> None:
    _parameters(desk, exchange)
    desk.unload(names[0], lambda refusal: _done(exchange, refusal))


def _shared_memory(desk: Desk, exchange: Exchange, names: Names) -> None:
    send(exchange, desk.regions.status(*names))


def _register(desk: Desk, exchange: Exchange, names: Names) -> None:
    asked = _asked(desk, exchange)
    key, offset, size = typed(asked, "key", str, ""), typed(asked, "offset", int, 0), typed(asked, "byte_size", int, 0)
    desk.regions.register(names[0], key, offset, size)
    _done(exchange)


def _unregister(desk: Desk, exchange: Exchange, names: Names) -> None:
    desk.regions.unregister(*names)
    _done(exchange)


def _no_regions(desk: Desk, exchange: Exchange, names: Names) -> None:
    send(exchange, [])


def _nothing_to_do(desk: Desk, exchange: Exchange, names: Names) -> None:
    _done(exchange)


def _no_cuda(desk: Desk, exchange: Exchange, names: Names) -> None:
    raise Unsupported(NO_CUDA)


def _log_settings(desk: Desk, exchange: Exchange, names: Names) -> None:
    send(exchange, desk.logging())


def _change_log_settings(desk: Desk, exchange: Exchange, names: Names) -> None:
    send(exchange, desk.logging(_asked(desk, exchange)))


def _trace(desk: Desk, exchange: Exchange, names: Names) -> None:
    send(exchange, desk.trace())


def _asked(desk: Desk, exchange: Exchange) -> Mapping[str, Any]:
    """The object that a body holds, an empty one where it is empty: clients send either where nothing needs saying."""
    body = content(exchange, desk.most_body_bytes)
    return read_object(body) if bytes(body).strip() else {}


def _parameters(desk: Desk, exchange: Exchange) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = typed(_asked(desk, exchange), "parameters", dict, {})
    return parameters


def _done(exchange: Exchange, refusal: Refusal | None = None) -> None:
    if refusal is None:
        send(exchange, {})
    else:
        refuse(exchange, refusal)


REGION: Final = "(?:/region/([^/]+))"
PATHS: Final[tuple[tuple[re.Pattern[str], Mapping[str, Answer]], ...]] = tuple(
    (re.compile(path), methods)
    for path, methods in (
        ("/", {"GET": page.answer}),
        (r"/live(?:/(\d+))?", {"GET": live.answer}),
        ("/v2/repository/index", {"POST": _index}),
        ("/v2/repository/models/([^/]+)/load", {"POST": _load}),
        ("/v2/repository/models/([^/]+)/unload", {"POST": _unload}),
        (f"/v2/systemsharedmemory{REGION}?/status", {"GET": _shared_memory}),
        (f"/v2/systemsharedmemory{REGION}/register", {"POST": _register}),
        (f"/v2/systemsharedmemory{REGION}?/unregister", {"POST": _unregister}),
        (f"/v2/cudasharedmemory{REGION}/(?:status|register)", {"GET": _no_cuda, "POST": _no_cuda}),
        ("/v2/cudasharedmemory/status", {"GET": _no_regions}),
        (f"/v2/cudasharedmemory{REGION}?/unregister", {"POST": _nothing_to_do}),
        ("/v2/logging", {"GET": _log_settings, "POST": _change_log_settings}),
        ("/v2(?:/models/[^/]+)?/trace/setting", {"GET": _trace, "POST": _trace}),
    )
)
"""Path -> method -> what answers; the names in a path are handed over."""
