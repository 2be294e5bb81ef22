"""A world that real clients can reach: its requests have been in virtual time, its answers go over a real socket."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.http import Connection
from superserve_cli.serving.routes import Routes
from superserve_cli.serving.site import Site

BEGAN_UNIX_S = 1_800_000_000.0
KEY = "open-sesame-0123"


def lively(world: Any, seconds: int, per_second: int = 8, began_unix_s: float = BEGAN_UNIX_S) -> Any:
    """The world after so many seconds of requests, some of which were too urgent for the large subnet, and some for any."""
    for second in range(seconds + 1):
        world.desk.history.sample(world.clock.now_ns(), began_unix_s + second)
        for i in range(per_second):
            world.ask(slo_ms=(100, 20, 5, 1)[(i + second) % 4])
            world.advance(1000 / per_second)
    world.desk.started_unix_s = began_unix_s
    return world


@contextmanager
def standing(world: Any, port: int = 0, locked: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL at which a world answers, `locked` those alone who have the key; nothing is left there afterwards."""
    routes = Routes(world.desk)

    def guarded(exchange: Exchange) -> None:
        if exchange.path == "/" or exchange.headers.get(b"authorization") == f"Bearer {KEY}".encode():
            routes(exchange)
        else:
            exchange.fail(401, "an API key is needed")

    site = Site.of(guarded if locked else routes, 100_000)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: Connection(site), "127.0.0.1", port, ssl=tls))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http{'s' * (tls is not None)}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(_end(server, site), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server, site: Site) -> None:
    server.close()
    site.drain()
    await asyncio.sleep(0)  # a closed transport lets go of its socket in the loop's next turn
