"""The engine as a live router holds it: events in, dispatches and drops out; it never reads a clock, sleeps or touches a device."""

from dataclasses import dataclass
from typing import Final

from superserve_cli.core.nouns import Request, Subnet
from superserve_cli.engine import steps
from superserve_cli.engine.places import Places
from superserve_cli.engine.tables import classes
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile

IDLE: Final = 0
ROUTERS: Final = 1


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A batch for an idle worker: these requests, most urgent first, on this subnet; `batch_size` counts their rows."""

    worker: int
    subnet: Subnet
    accuracy: float | None
    batch_size: int
    requests: list[Request]
    plan_ns: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A request that is not worth running any more."""

    request: Request


@dataclass(frozen=True, slots=True)
class Wait:
    """The policy wants more requests before it runs any; ask again after the next event, and at `until_ns` if none comes before."""

    until_ns: int


class Engine:
    """EDF queues, idle workers and decision tables of one policy on one profile of served subnets.

    No worker is idle until `restore` is called for it. After every event call `decide` with the event's time until it answers None
    or Wait.
    """

    def __init__(self, profile: Profile, policy: Policy, late: str, workers: int) -> None:
        if late not in steps.LATE_RULES:
            raise Unknown("late rule", late, steps.LATE_RULES)
        if policy.control is not None:
            raise BadOption(
                f"policy {policy.name} has a memory, and only simulated runs keep one", hint="serve with a policy of slack and depth alone"
            )
        self._classes = classes((policy,), profile, workers, tuple(sorted({a for a in profile.accuracies if a is not None})))
        self._late = steps.LATE_RULES[late]
        self._places = Places(profile, workers, self._classes.tables)
        self._queues, self._depth, self._tables = self._places.queues, self._places.depth, self._places.tables
        self._idle: steps.Heaps = [[]]
        self._running: dict[int, list[Request]] = {}
        self._live: set[int] = set()
        self._waiting: dict[int, Request] = {}
        self._deadline_ns: dict[int, int] = {}
        self._kind: dict[int, int] = {}
        self._rows: dict[int, int] = {}
        self._requests = steps.Requests(self._deadline_ns, self._kind, self._rows)
        self._batch = [0] * profile.largest

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def live(self) -> int:
        """How many workers there are, idle or busy."""
        return len(self._live)

    @property
    def largest(self) -> int:
        """The most rows that a request may have."""
        return len(self._batch)

    def serves(self, subnet: Subnet) -> bool:
        """Whether a request may be pinned to a subnet: any served one, whatever the policy would run."""
        return subnet in self._classes.profile.subnets

    def reaches(self, min_accuracy: float, subnet: Subnet | None = None) -> bool:
        """Whether some subnet that the policy may run, or the one that is pinned, is that accurate; if not, the request must be refused."""
        if subnet is not None:
            return (self._classes.profile.accuracy(subnet) or 0.0) >= min_accuracy
        return self._classes.of(min_accuracy) != steps.NOBODY

    def arrive(self, request: Request) -> None:
        """A request joins the queue; its id must be new, its subnet served, its floor within reach and its rows at most `largest`."""
        self._waiting[request.id] = request
        self._deadline_ns[request.id] = request.deadline_ns
        pin = request.subnet
        self._kind[request.id] = self._places.of(self._classes.of(request.min_accuracy) if pin is None else pin)
        self._rows[request.id] = request.size
        steps.enqueue(self._queues, self._depth, self._requests, request.id)

    def decide(self, now_ns: int) -> Dispatch | Drop | Wait | None:
        """What to do now for the most urgent request: a batch for an idle worker, its removal, nothing until later, or nothing."""
        if not self._waiting or not self._idle[IDLE]:
            return None
        kind = steps.most_urgent(self._queues, len(self._queues))
        deadline_ns, id = steps.head(self._queues, kind)
        rows, tables = self._rows[id], self._tables
        slack_ns, depth, live = deadline_ns - now_ns, self._depth[kind], len(self._live)
        choice = steps.decide(tables, self._late, kind, slack_ns, depth, rows, live, ROUTERS)
        if choice == steps.WAIT:
            return Wait(steps.wake_ns(tables, self._late, kind, slack_ns, deadline_ns, depth, live))
        if choice == steps.DROP:
            steps.dequeue(self._queues, self._depth, self._requests, kind)
            return Drop(self._forget(id))
        taken, rows = steps.take(self._queues, self._depth, self._requests, kind, tables.holds[choice], self._batch)
        return self._dispatch(steps.runs_as(tables, choice, rows), [self._forget(id) for id in self._batch[:taken]], rows)

    def _dispatch(self, cell: int, batch: list[Request], rows: int) -> Dispatch:
        worker = steps.pop(self._idle, IDLE)
        self._running[worker] = batch
        subnet = self._classes.subnet(cell)
        return Dispatch(worker, subnet, self._classes.profile.accuracy(subnet), rows, batch, self._tables.plan_ns[cell])

    def _forget(self, id: int) -> Request:
        del self._deadline_ns[id], self._kind[id], self._rows[id]
        return self._waiting.pop(id)

    def complete(self, worker: int) -> None:
        """A worker has finished its batch and is idle."""
        del self._running[worker]
        steps.push(self._idle, IDLE, worker, worker)

    def lose(self, worker: int) -> list[Request]:
        """A worker is gone; its batch waits again, and is returned."""
        self._live.discard(worker)
        steps.discard(self._idle, IDLE, worker, worker)
        batch = self._running.pop(worker, [])
        for request in batch:
            Engine.arrive(self, request)  # it comes back, which is no new event to whoever listens for arrivals
        return batch

    def restore(self, worker: int) -> None:
        """A worker is there, and idle: a new one, or one that was lost."""
        if worker not in self._live:
            self._live.add(worker)
            steps.push(self._idle, IDLE, worker, worker)

    def cancel(self, id: int) -> bool:
        """A waiting request is not wanted any more; whether it still waited."""
        if id not in self._waiting:
            return False
        kind = self._kind[id]
        steps.discard(self._queues, kind, self._deadline_ns[id], id)
        self._depth[kind] -= self._rows[id]
        self._forget(id)
        return True
