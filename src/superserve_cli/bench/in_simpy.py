"""The scheduler written for SimPy, as one would without superserve: a peer for speed, and a second opinion on what is met."""

from collections.abc import Generator
from heapq import heappop, heappush
from typing import Any

import simpy

from superserve_cli.policies import DecisionTable, Policy, compile
from superserve_cli.profiles import Profile
from superserve_cli.traces import Trace


def simulate(trace: Trace, profile: Profile, policy: Policy, workers: int, slo_ns: int) -> int:
    """How many requests are met under the late rule `drop`."""
    env = simpy.Environment()
    pool = _Pool(env, compile(policy, profile, workers), workers)
    env.process(pool.arrive(trace.arrival_ns.tolist(), trace.deadlines_ns(slo_ns).tolist()))
    env.run()
    return pool.met


class _Pool:
    """An EDF queue and the workers that take batches from it."""

    def __init__(self, env: Any, table: DecisionTable, workers: int) -> None:
        self.env, self.table = env, table
        self.queue: list[tuple[int, int]] = []
        self.idle = list(range(workers))
        self.met = 0

    def arrive(self, arrivals: list[int], deadlines: list[int]) -> Generator[simpy.Event, Any, Any]:
        for id, (arrival, deadline) in enumerate(zip(arrivals, deadlines, strict=True)):
            yield self.env.timeout(arrival - self.env.now)
            heappush(self.queue, (deadline, id))
            self.dispatch()

    def dispatch(self) -> None:
        while self.queue and self.idle:
            choice = self.table(self.queue[0][0] - self.env.now, len(self.queue))
            if choice is None:
                heappop(self.queue)
                continue
            batch = [heappop(self.queue) for _ in range(min(choice.batch_size, len(self.queue)))]
            self.env.process(self.run(heappop(self.idle), self.table.profile.plan_ns(choice.subnet, len(batch)), batch))

    def run(self, worker: int, latency_ns: int, batch: list[tuple[int, int]]) -> Generator[simpy.Event, Any, Any]:
        yield self.env.timeout(latency_ns)
        self.met += sum(self.env.now <= deadline for deadline, _ in batch)
        heappush(self.idle, worker)
        self.dispatch()
