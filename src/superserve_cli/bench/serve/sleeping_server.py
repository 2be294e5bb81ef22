"""A whole server whose worker sleeps for times drawn from a profile: `python sleeping_server.py PROFILE POLICY LATE SLO_NS PORT SIZE...`.

The sizes are those of a row. Run as a file, because a module of this package would import all of it, torch included.
"""

import asyncio
import sys

import uvloop

from superserve_cli import policies, profiles
from superserve_cli.serving.server import Server, run
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.workers.messages import Order

SEED = 0


def main(profile: str, policy: str, late: str, slo_ns: int, port: int, shape: list[int]) -> None:
    """Serve until SIGTERM."""
    order = Order("superserve_cli.serving.workers.sleep:make", {"profile": profile, "shape": shape, "seed": SEED})
    settings = Settings([order], profiles.load(profile), policies.named(policy), late, slo_ns, port=port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, _nothing))


def _nothing(server: Server) -> None:
    """Whoever started it sees that it is ready by asking."""


if __name__ == "__main__":
    profile, policy, late, *numbers = sys.argv[1:]
    slo_ns, port, *shape = map(int, numbers)
    main(profile, policy, late, slo_ns, port, shape)
