from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from superserve_cli.engine import Engine
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.serving.keys import Keys
from superserve_cli.serving.site import MOST_CONNECTIONS
from superserve_cli.serving.tls import Tls
from superserve_cli.serving.workers.messages import Order

LONGEST_DRAIN_S: Final = 30.0
FIXED: Final = ("host", "port", "grpc_port", "max_queue_mb", "max_connections", "fixtures", "record", "events")
"""What a server keeps as long as it runs."""


@dataclass(frozen=True)
class Settings:
    """What a server is to do: one worker per order; `profile` holds the served subnets only; `grpc_port` None: HTTP alone.

    Workers need to load anew what `weights` tells apart. It may `record` what becomes of each request, and all `events` of its engine
    with the decisions, and have the `fixtures` beside. A worker that keeps a batch for longer than `hung_ns` is ended (by default ten
    times what is planned, and three seconds); `drift_guard` plans slow ones as slow.
    """

    orders: Sequence[Order]
    profile: Profile
    policy: Policy
    late: str
    slo_ns: int
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    max_queue: int = 10_000
    max_queue_mb: int = 1024
    record: bool = False
    events: bool = False
    longest_drain_s: float = LONGEST_DRAIN_S
    weights: Hashable = None
    keys: Keys = field(default_factory=Keys)
    tls: Tls | None = None
    max_connections: int = MOST_CONNECTIONS
    fixtures: bool = False
    hung_ns: int | None = None
    drift_guard: bool = True

    def beside(self, running: "Settings") -> tuple["Settings", list[str]]:
        """What of these settings a running server can take on, and the options that need another one."""
        kept: dict[str, Any] = {name: getattr(running, name) for name in FIXED}
        if (self.tls is None) != (running.tls is None):
            kept["tls"] = running.tls
        others = [name for name, value in kept.items() if getattr(self, name) != value]
        # the tables of a profile are remembered with it
        profile = running.profile if _same(self.profile, running.profile) else self.profile
        return replace(self, **kept, profile=profile), others

    def check(self) -> None:
        """Raise what is wrong as far as no worker need say: a policy that does not go with the profile, a certificate out of date."""
        Engine(self.profile, self.policy, self.late, len(self.orders))
        if self.tls is not None:
            self.tls.context()


def _same(one: Profile, other: Profile) -> bool:
    """Whether two profiles say the same in all."""
    mine, theirs = ((p.subnets, p.batch_sizes, p.plan, p.accuracies, dict(p.metadata)) for p in (one, other))
    if one.quantiles_ns is None or other.quantiles_ns is None:
        return mine == theirs and one.quantiles_ns is other.quantiles_ns
    return mine == theirs and np.array_equal(one.quantiles_ns, other.quantiles_ns)
