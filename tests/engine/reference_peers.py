"""An independent engine for policies with a memory, written from what they say of themselves: slow, plain, sharing no code with theirs.

Where `superserve_cli.engine.world` looks up tables and wakes when a row ends, this one asks the policy again at every instant that could
matter, and where it keeps heaps, this one sorts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.engine.reference import Cell, Ended, Plan

WAIT: Cell = ("wait", 0)
Ask = Callable[[int, int], Cell | None]
"""(slack, depth) -> a cell, WAIT, or None."""
TAKES, LOST, BACK, TICK, AGAIN, ARRIVES = range(6)
"""What happens at one instant, in this order."""


@dataclass(frozen=True)
class Orders:
    """Modes by worker, given at `first` and every `period` from then on, the last ones for ever."""

    first: int
    period: int
    modes: Sequence[Sequence[int]]

    def at(self, now: int) -> Sequence[int]:
        return self.modes[min((now - self.first) // self.period, len(self.modes) - 1)]


@dataclass
class Peer:
    """What a policy does: by mode its subnet and what it answers; `steps` is how a mode changes (after success, after failure).

    `other` is what it answers with any subnet, where a floor may lead to another than the mode's. `told` gives all workers their
    modes, `load` is what another one costs; the rest as in policies.Control.
    """

    subnets: list[str]
    asks: list[Ask]
    steps: list[tuple[int, int]]
    told: Orders | None = None
    load: int = 0
    ahead: int = 0
    admit: int | None = None
    latest_start: bool = False
    other: Callable[[str], Ask] | None = None


def largest(plan: Plan, subnet: str, within: int, among: Sequence[int]) -> int | None:
    return max((b for b in among if plan.latency_ns[subnet, b] <= within), default=None)


def clipper_aimd(plan: Plan, subnet: str, slo: int) -> Peer:
    """Full batches of a size that grows one step after success and shrinks one after failure; given up on at twice the SLO."""

    def of(size: int) -> Ask:
        def ask(slack: int, depth: int) -> Cell | None:
            if slack < -slo:
                return None
            return WAIT if depth < size else (subnet, size)

        return ask

    top = len(plan.sizes) - 1
    return Peer([subnet] * (top + 1), [of(b) for b in plan.sizes], [(min(i + 1, top), max(i - 1, 0)) for i in range(top + 1)])


def nexus(plan: Plan, subnet: str, slo: int) -> Peer:
    target = largest(plan, subnet, slo // 2, plan.sizes) or plan.sizes[0]
    needs = plan.latency_ns[subnet, target]

    def ask(slack: int, depth: int) -> Cell | None:
        if slack >= needs and depth >= target:
            return subnet, target
        if slack < needs and depth - 1 >= target:
            return None  # early drop: those behind it fill a batch
        if slack > needs:
            return WAIT
        size = largest(plan, subnet, slack, [b for b in plan.sizes if b <= target])
        size = size if size is not None else largest(plan, subnet, slack, plan.sizes)
        return None if size is None else (subnet, min(size, target))

    return Peer([subnet], [ask], [(0, 0)])


def full(plan: Plan, subnet: str) -> Ask:
    def ask(slack: int, depth: int) -> Cell | None:
        size = largest(plan, subnet, slack, [b for b in plan.sizes if b <= depth])
        return None if size is None else (subnet, size)

    return ask


def alpaserve(plan: Plan, subnet: str) -> Peer:
    return Peer([subnet], [full(plan, subnet)], [(0, 0)], admit=plan.latency_ns[subnet, plan.sizes[0]])


def clockwork(plan: Plan, subnet: str, ahead: int) -> Peer:
    return Peer([subnet], [full(plan, subnet)], [(0, 0)], ahead=ahead, latest_start=True)


def switching(plan: Plan, subnets: list[str], told: Orders, load: int) -> Peer:
    def of(subnet: str) -> Ask:
        def ask(slack: int, depth: int) -> Cell | None:
            size = largest(plan, subnet, slack, plan.sizes)
            return None if size is None else (subnet, size)

        return ask

    return Peer(subnets, [of(s) for s in subnets], [(i, i) for i in range(len(subnets))], told, load, other=of)


def proteus(plan: Plan, subnets: list[str], told: Orders) -> Peer:
    def of(subnet: str) -> Ask:
        def ask(slack: int, depth: int) -> Cell | None:
            if depth < plan.sizes[-1] and slack > plan.at(subnet, depth):
                return WAIT
            size = largest(plan, subnet, slack, plan.sizes)
            return None if size is None else (subnet, size)

        return ask

    return Peer(subnets, [of(s) for s in subnets], [(i, i) for i in range(len(subnets))], told, other=of)


def ranked(plan: Plan) -> list[str]:
    """From the least to the most accurate; of equals the slower, then the greater id, first."""
    ordered = sorted(plan.accuracy, reverse=True)
    ordered.sort(key=lambda s: plan.latency_ns[s, plan.sizes[0]], reverse=True)
    return sorted(ordered, key=lambda s: plan.accuracy[s])


def median(plan: Plan) -> str:
    ordered = sorted(plan.accuracy, key=lambda s: (plan.latency_ns[s, plan.sizes[-1]], s))
    return ordered[(len(ordered) - 1) // 2]


@dataclass
class Worker:
    mode: int = 0
    live: bool = True
    takes_at: int | None = None
    """When it may take a batch, where it may not now."""
    free_at: int = 0
    tardy: bool = False
    must_load: bool = False
    loading: bool = False
    clock: int = 0
    batches: list[tuple[int, list[int]]] = field(default_factory=list)


class Serving:
    """One run; `serve` is all that anybody needs of it."""

    def __init__(
        self, plan: Plan, peer: Peer, requests: Sequence[tuple[int, int]], floors: Sequence[float], workers: int, late: str, slo: int
    ) -> None:
        self.plan, self.peer, self.requests, self.late, self.slo = plan, peer, requests, late, slo
        self.able = [self.able_with(floor) for floor in floors]
        self.workers = [Worker() for _ in range(workers)]
        self.out = [Ended("failed") for _ in requests]
        self.queue: list[int] = []
        self.again: int | None = None

    def deadline(self, id: int) -> int:
        return self.requests[id][1]

    def able_with(self, floor: float) -> list[str] | None:
        """By mode, the subnet for requests with this floor: the mode's own, or the least accurate that reaches it, the faster of two."""
        reach = [s for s in self.plan.accuracy if self.plan.accuracy[s] >= floor]
        if floor == 0 or not reach:
            return self.peer.subnets if floor == 0 else None
        least = min(reach, key=lambda s: (self.plan.accuracy[s], self.plan.latency_ns[s, self.plan.sizes[0]], s))
        return [s if s in reach else least for s in self.peer.subnets]

    def head_and_like(self) -> list[int]:
        """Those who wait that may be in a batch with the most urgent one, the most urgent first."""
        self.queue.sort(key=lambda r: (self.deadline(r), r))
        return [r for r in self.queue if self.able[r] == self.able[self.queue[0]]]

    def happen(self, now: int, what: int, who: int) -> None:
        if what == ARRIVES:
            self.arrives(now, who)
        elif what == TICK:
            self.tick(now)
        elif what == TAKES:
            self.takes(now, self.workers[who])
        elif what == LOST:
            self.lost(now, self.workers[who])
        elif what == BACK:
            self.back(now, self.workers[who])

    def arrives(self, now: int, id: int) -> None:
        if self.able[id] is None:
            self.out[id] = Ended("rejected", ended_ns=now)
            return
        if self.peer.admit is not None:
            clocks = [w for w in self.workers if w.live]
            first = min(clocks, key=lambda w: w.clock, default=None)
            if first is None or max(first.clock, now) + self.peer.admit > self.deadline(id):
                self.out[id] = Ended("rejected", ended_ns=now)
                return
            first.clock = max(first.clock, now) + self.peer.admit
        self.queue.append(id)

    def tick(self, now: int) -> None:
        assert self.peer.told is not None
        for worker, mode in zip(self.workers, self.peer.told.at(now), strict=True):
            if mode != worker.mode:
                worker.mode, worker.must_load = mode, self.peer.load > 0
                if worker.live and worker.takes_at is None:
                    self.load(now, worker)

    def load(self, now: int, worker: Worker) -> None:
        if worker.must_load:
            worker.must_load, worker.loading = False, True
            worker.takes_at = worker.free_at = now + self.peer.load

    def takes(self, now: int, worker: Worker) -> None:
        worker.takes_at = None
        if worker.loading:
            worker.loading = False
        elif not worker.must_load:
            worker.mode = self.peer.steps[worker.mode][worker.tardy]
        self.load(now, worker)

    def lost(self, now: int, worker: Worker) -> None:
        worker.live, worker.takes_at = False, None
        worker.must_load = worker.must_load or worker.loading
        worker.loading = False
        for finish, batch in worker.batches:
            if finish > now:
                for id in batch:
                    self.queue.append(id)
                    self.out[id].status, self.out[id].finish_ns, self.out[id].ended_ns = "failed", -1, -1
        worker.batches = []

    def back(self, now: int, worker: Worker) -> None:
        worker.live, worker.free_at, worker.clock = True, now, now
        self.load(now, worker)

    def decisions(self, now: int) -> None:
        """While a worker may take a batch and the queue is not empty, decide; those that are free first, then by index."""
        self.again = None
        while self.queue and (takers := [w for w in self.workers if w.live and w.takes_at is None]):
            worker = min(takers, key=lambda w: (max(now, w.free_at), self.workers.index(w)))
            alike, start = self.head_and_like(), max(now, worker.free_at)
            choice = self.choice(worker, alike, start)
            if choice == WAIT:
                self.again = self.next_instant(now, worker, alike)
                return
            if choice is None:
                self.drop(now)
                continue
            if self.peer.latest_start and self.late != "serve":
                choice = self.first_to_start(now, start)
            self.run(now, start, worker, choice)

    def own(self, worker: Worker, id: int) -> str:
        able = self.able[id]
        assert able is not None
        return able[worker.mode]

    def choice(self, worker: Worker, queue: Sequence[int], start: int) -> Cell | None:
        """What the policy and the late rule say of the head."""
        subnet, sizes = self.own(worker, queue[0]), self.plan.sizes
        slack, depth, most = self.deadline(queue[0]) - start, len(queue), sizes[-1]
        if self.late == "shed":
            live = sum(w.live for w in self.workers)
            hopeless = slack < self.plan.at(subnet, min(depth, most))
            if hopeless and 2 * depth * self.plan.at(subnet, most) > 3 * slack * live * most:
                return None
        ask = self.peer.asks[worker.mode] if self.peer.other is None else self.peer.other(subnet)
        choice = ask(slack, depth)
        return (subnet, most) if choice is None and self.late == "serve" else choice

    def next_instant(self, now: int, worker: Worker, queue: Sequence[int]) -> int | None:
        """The next one at which the policy or the late rule could say something else of the head."""
        subnet, most = self.own(worker, queue[0]), self.plan.sizes[-1]
        live, depth = sum(w.live for w in self.workers), len(queue)
        drained = 2 * depth * self.plan.at(subnet, most) // (3 * live * most)
        edges = [*self.plan.latency_ns.values(), -self.slo, 0, drained]
        instants = [self.deadline(queue[0]) - edge + step for edge in edges for step in (-1, 0, 1)]
        return min((instant for instant in instants if instant > now), default=None)

    def drop(self, now: int) -> None:
        id = self.queue.pop(0)
        self.out[id].status, self.out[id].ended_ns = "dropped", now

    def first_to_start(self, now: int, start: int) -> Cell:
        """Of all pairs of request and batch size, the one that must start first, in the largest batch that is full and in time."""
        (subnet,) = self.peer.subnets

        def counts(i: int) -> list[int]:
            in_time = self.deadline(self.queue[i]) - start
            return [b for b in self.plan.sizes if len(self.queue) - i >= b and self.plan.latency_ns[subnet, b] <= in_time]

        pairs = [(self.deadline(self.queue[i]) - self.plan.latency_ns[subnet, b], i, b) for i in range(len(self.queue)) for b in counts(i)]
        _, first, _ = min(pairs)
        size = max(counts(first))
        for _ in range(first):
            self.drop(now)
        return subnet, size

    def run(self, now: int, start: int, worker: Worker, choice: Cell) -> None:
        batch = self.head_and_like()[: choice[1]]
        self.queue = [r for r in self.queue if r not in batch]
        finish = start + self.plan.at(choice[0], len(batch))
        worker.free_at, worker.takes_at = finish, max(now, finish - self.peer.ahead)
        worker.tardy = any(finish > self.deadline(r) for r in batch)
        worker.batches.append((finish, batch))
        for r in batch:
            status = "met" if finish <= self.deadline(r) else "late"
            self.out[r] = Ended(status, start, finish, finish, choice[0], len(batch), self.workers.index(worker))


def serve(
    plan: Plan,
    peer: Peer,
    requests: Sequence[tuple[int, int]],
    workers: int,
    late: str,
    slo: int,
    faults: Sequence[tuple[int, int, bool]] = (),
    floors: Sequence[float] | None = None,
) -> list[Ended]:
    """What becomes of (arrival, deadline) pairs; without `floors` they have none."""
    run = Serving(plan, peer, requests, floors or [0.0] * len(requests), workers, late, slo)
    coming = [(at, ARRIVES, id) for id, (at, _) in enumerate(requests)]
    coming += [(at, BACK if back else LOST, worker) for at, worker, back in faults]
    tick = None if peer.told is None else peer.told.first
    while True:
        own = [(w.takes_at, TAKES, i) for i, w in enumerate(run.workers) if w.live and w.takes_at is not None]
        again = [(run.again, AGAIN, 0)] if run.again is not None else []
        if not (happening := [*coming, *own, *again]):
            break
        now, what, who = min(happening if tick is None else [*happening, (tick, TICK, 0)])
        coming = [event for event in coming if event != (now, what, who)]
        if what == TICK and peer.told is not None:
            tick = now + peer.told.period
        run.happen(now, what, who)
        run.decisions(now)
    for id in run.queue:
        run.out[id].status, run.out[id].ended_ns = "failed", run.deadline(id)
    return run.out
