"""A whole server with workers that answer at once: `python noop_server.py WORKERS SIZE...`, the sizes those of a row; it prints its URL.

Run as a file, because a module of this package would import all of it, torch included.
"""

import asyncio
import sys

import uvloop

from superserve_cli import policies, profiles
from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.serving.server import Server, run
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.workers.messages import Order


def main(workers: int, shape: list[int]) -> None:
    """Serve on a free port until SIGTERM; a request may wait for a minute, so that none is dropped."""
    order = Order("superserve_cli.serving.workers.noop:make", {"shape": shape})
    settings = Settings([order] * workers, profiles.load("modelled"), policies.named("slackfit"), "shed", 60 * NS_PER_S, port=0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, _say))


def _say(server: Server) -> None:
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(size) for size in sys.argv[2:]])
