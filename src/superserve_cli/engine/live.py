"""The engine as a live router holds it: events in, dispatches and drops out; it never reads a clock, sleeps or touches a device."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from superserve_cli.core.nouns import Request, Subnet, new
from superserve_cli.engine import steps
from superserve_cli.engine.places import Places
from superserve_cli.engine.scaled import AS_PLANNED
from superserve_cli.engine.tables import classes, least_slack_ns
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile

IDLE: Final = 0
ROUTERS: Final = 1


class Dispatch(NamedTuple):
    """A batch for an idle worker: these requests, most urgent first, on this subnet; `batch_size` counts their rows.

    `plan_ns` is the profile's, whatever the worker's scale.
    """

    worker: int
    subnet: Subnet
    accuracy: float | None
    batch_size: int
    requests: list[Request]
    plan_ns: int


class Drop(NamedTuple):
    """A request that is not worth running any more."""

    request: Request


class Wait(NamedTuple):
    """The policy wants more requests before it runs any; ask again after the next event, and at `until_ns` if none comes before."""

    until_ns: int


class Engine:
    """EDF queues, idle workers and decision tables of one policy on one profile of served subnets.

    No worker is idle until `restore` is called for it. After every event call `decide` with the event's time until it answers None
    or Wait, or no worker is `idle`. A worker answers its batches in the order in which it was given them; one that is free before may
    be given the next.

    A worker that is slower than its profile is planned with all latencies multiplied by its scale: of the idle workers the least
    slowed comes first, then the lowest index. A head that is too late for a slowed worker, but not for a less slowed one that is
    busy, waits for that one.
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
        self._queues, self._depth = self._places.queues, self._places.depth
        self._idle: steps.Heaps = [[]]
        self.idle: Sequence[tuple[int, int]] = self._idle[IDLE]
        """The idle workers: where there is none, no decision can come to anything."""
        self._running: dict[int, deque[list[Request]]] = {}
        self._live: set[int] = set()
        self._scale = [AS_PLANNED] * workers
        self._tables = [self._places.tables] * workers
        self._least = AS_PLANNED
        self._best = self._places.tables
        self._waiting: dict[int, Request] = {}
        self._deadline_ns: dict[int, int] = {}
        self._kind: dict[int, int] = {}
        self._rows: dict[int, int] = {}
        self._requests = steps.Requests(self._deadline_ns, self._kind, self._rows)
        self._batch = [0] * profile.largest
        self.largest = profile.largest
        """The most rows that a request may have."""
        self._least_ns: dict[tuple[int, int], int] = {}

    @property
    def profile(self) -> Profile:
        """The served subnets."""
        return self._classes.profile

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def live(self) -> int:
        """How many workers there are, idle or busy."""
        return len(self._live)

    @property
    def least_plan_ns(self) -> int:
        """What the fastest subnet takes for the largest batch."""
        return self._classes.profile.plan[0][-1]

    @property
    def oldest_ns(self) -> int | None:
        """When the request arrived that has waited longest."""
        return min((request.arrival_ns for request in self._waiting.values()), default=None)

    def serves(self, subnet: Subnet) -> bool:
        """Whether a request may be pinned to a subnet: any served one, whatever the policy would run."""
        return subnet in self._classes.profile.subnets

    def reaches(self, min_accuracy: float, subnet: Subnet | None = None) -> bool:
        """Whether some subnet that the policy may run, or the one that is pinned, is that accurate; if not, the request must be refused."""
        if subnet is not None:
            return (self._classes.profile.accuracy(subnet) or 0.0) >= min_accuracy
        return self._classes.of(min_accuracy) != steps.NOBODY

    def able(self, request: Request) -> bool:
        """Whether a request can be served at all: its subnet is, its floor is within reach, and a batch holds its rows."""
        known = request.subnet is None or self.serves(request.subnet)
        return known and request.size <= self.largest and self.reaches(request.min_accuracy, request.subnet)

    def arrive(self, request: Request) -> None:
        """A request joins the queue; its id must be new, its subnet served, its floor within reach and its rows at most `largest`."""
        id, _, deadline_ns, floor, rows, pin = request
        self._waiting[id] = request
        self._deadline_ns[id] = deadline_ns
        self._kind[id] = self._places.of(self._classes.of(floor) if pin is None else pin)
        self._rows[id] = rows
        steps.enqueue(self._queues, self._depth, self._requests, id)

    def decide(self, now_ns: int) -> Dispatch | Drop | Wait | None:
        """What to do now for the most urgent request: a batch for an idle worker, its removal, nothing until later, or nothing."""
        if not self._waiting or not self._idle[IDLE]:
            return None
        scale, worker = steps.head(self._idle, IDLE)
        kind = steps.most_urgent(self._queues, len(self._queues))
        deadline_ns, id = steps.head(self._queues, kind)
        rows, tables = self._rows[id], self._tables[worker]
        slack_ns, depth, live = deadline_ns - now_ns, self._depth[kind], len(self._live)
        choice = steps.decide(tables, self._late, kind, slack_ns, depth, rows, live, ROUTERS)
        if choice == steps.WAIT:
            return Wait(steps.wake_ns(tables, self._late, kind, slack_ns, deadline_ns, depth, live))
        if choice == steps.DROP:
            if scale > self._least and steps.decide(self._best, self._late, kind, slack_ns, depth, rows, live, ROUTERS) != steps.DROP:
                return None
            steps.dequeue(self._queues, self._depth, self._requests, kind)
            return Drop(self._forget(id))
        taken, rows = steps.take(self._queues, self._depth, self._requests, kind, tables.holds[choice], self._batch)
        return self._dispatch(steps.runs_as(tables, choice, rows), [self._forget(id) for id in self._batch[:taken]], rows)

    def _dispatch(self, cell: int, batch: list[Request], rows: int) -> Dispatch:
        worker = steps.pop(self._idle, IDLE)
        self._running.setdefault(worker, deque()).append(batch)
        subnet = self._classes.subnet(cell)
        classes = self._classes
        return new(Dispatch, (worker, subnet, classes.profile.accuracy(subnet), rows, batch, classes.tables.plan_ns[cell]))

    def _forget(self, id: int) -> Request:
        del self._deadline_ns[id], self._kind[id], self._rows[id]
        return self._waiting.pop(id)

    def expires_ns(self, id: int) -> int:
        """From when on a waiting request is sure to be dropped: every decision about it would say so. NEVER where late ones are served.

        A worker that is slower than planned now may be as planned then.
        """
        if self._late == steps.SERVE_LATE:
            return steps.NEVER
        tables, kind, rows = self._places.tables, self._kind[id], self._rows[id]
        asked = tables.first[kind], rows  # a table is known by its first row, whatever place it is at now
        if (least_ns := self._least_ns.get(asked)) is None:
            least_ns = self._least_ns[asked] = least_slack_ns(tables, kind, rows)
        return self._deadline_ns[id] - least_ns + 1

    def next_expiry_ns(self) -> int:
        """When the first of the most urgent requests of all classes is sure to be dropped; NEVER where none waits."""
        return min((self.expires_ns(queue[0][1]) for queue in self._queues if queue), default=steps.NEVER)

    def expire(self, now_ns: int) -> Drop | None:
        """The removal of a request that is the most urgent one of its class and sure to be dropped, while no worker is idle too."""
        for kind, queue in enumerate(self._queues):
            if queue and self.expires_ns(id := queue[0][1]) <= now_ns:
                steps.dequeue(self._queues, self._depth, self._requests, kind)
                return Drop(self._forget(id))
        return None

    def free(self, worker: int) -> None:
        """A worker may be given its next batch, although its last one is not answered yet."""
        if not self._running[worker]:
            raise LookupError(worker)
        self._rests(worker)

    def complete(self, worker: int) -> None:
        """A worker has answered the oldest of its batches; it is idle, unless it was given another since."""
        self._running[worker].popleft()
        if not self._running[worker]:
            self._rests(worker)

    def _rests(self, worker: int) -> None:
        steps.discard(self._idle, IDLE, self._scale[worker], worker)  # who was free before its answer is idle already
        steps.push(self._idle, IDLE, self._scale[worker], worker)

    def lose(self, worker: int) -> list[Request]:
        """A worker is gone; all that it has not answered is returned, and waits again where it can be served (see `replan`)."""
        self._live.discard(worker)
        steps.discard(self._idle, IDLE, self._scale[worker], worker)
        lost = [request for batch in self._running.pop(worker, ()) for request in batch]
        for request in filter(self.able, lost):
            Engine.arrive(self, request)  # it comes back, which is no new event to whoever listens for arrivals
        self._compare()
        return lost

    def restore(self, worker: int) -> None:
        """A worker is there, and idle: a new one, or one that was lost."""
        if worker not in self._live:
            self._live.add(worker)
            steps.push(self._idle, IDLE, self._scale[worker], worker)
            self._compare()

    def scale(self, worker: int, thousandths: int) -> None:
        """A worker takes so many thousandths of what its profile plans, at least AS_PLANNED."""
        idle = steps.discard(self._idle, IDLE, self._scale[worker], worker)
        self._scale[worker] = thousandths
        self._tables[worker] = self._places.scaled(self._scale)[thousandths]
        if idle:
            steps.push(self._idle, IDLE, thousandths, worker)
        self._compare()

    def _compare(self) -> None:
        """Who of the live workers is least slowed."""
        if self._live:
            self._least, worker = min((self._scale[worker], worker) for worker in self._live)
            self._best = self._tables[worker]

    def waits(self, id: int) -> bool:
        """Whether a request is in a queue."""
        return id in self._waiting

    def hopeless(self, id: int, now_ns: int) -> bool:
        """Whether a waiting request would be dropped if it were decided now, by the least slowed worker."""
        kind, rows = self._kind[id], self._rows[id]
        slack_ns, live = self._deadline_ns[id] - now_ns, max(1, len(self._live))
        return steps.decide(self._best, self._late, kind, slack_ns, self._depth[kind], rows, live, ROUTERS) == steps.DROP

    def replan(self, other: "Engine") -> list[Request]:
        """Decide as another engine would from now on, for the same workers; who waits for what that one cannot do is removed and returned.

        The other engine must have had no events, and serves no more.
        """
        waiting = [self._forget(id) for id in list(self._waiting)]
        self._classes, self._late, self._batch, self._least_ns = other._classes, other._late, other._batch, other._least_ns
        self.largest = other.largest
        self._places, self._queues, self._depth = other._places, other._queues, other._depth
        tables = self._places.scaled(self._scale)
        self._tables, self._best = [tables[scale] for scale in self._scale], self._places.tables
        self._compare()
        for request in waiting:
            if self.able(request):
                self.arrive(request)
        return [request for request in waiting if request.id not in self._waiting]

    def cancel(self, id: int) -> bool:
        """A waiting request is not wanted any more; whether it still waited."""
        if id not in self._waiting:
            return False
        kind = self._kind[id]
        steps.discard(self._queues, kind, self._deadline_ns[id], id)
        self._depth[kind] -= self._rows[id]
        self._forget(id)
        return True
