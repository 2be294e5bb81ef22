"""An independent engine, written from the plan's semantics alone: slow, plain, and sharing no code with the one it checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Cell = tuple[str, int]


@dataclass(frozen=True)
class Plan:
    """Planned latency by (subnet, batch size), and accuracy by subnet."""

    latency_ns: dict[Cell, int]
    accuracy: dict[str, float]

    @property
    def sizes(self) -> list[int]:
        return sorted({size for _, size in self.latency_ns})

    def at(self, subnet: str, rows: int) -> int:
        return self.latency_ns[subnet, min(size for size in self.sizes if size >= rows)]

    def fastest(self, subnets: Sequence[str]) -> str:
        return min(subnets, key=lambda s: (self.latency_ns[s, self.sizes[0]], s))


@dataclass
class Ended:
    status: str
    start_ns: int = -1
    finish_ns: int = -1
    ended_ns: int = -1
    subnet: str | None = None
    batch: int = -1
    worker: int = -1


Choose = Callable[[int, int], Cell | None]


def slackfit(plan: Plan, subnets: Sequence[str], buckets: int) -> Choose:
    cells = [(s, b) for s in subnets for b in plan.sizes]
    lo = min(plan.latency_ns[s, plan.sizes[0]] for s in subnets)
    hi = max(plan.latency_ns[s, plan.sizes[-1]] for s in subnets)

    def bucket(cell: Cell) -> int:
        if hi <= lo:
            return 1
        exact, rest = divmod((plan.latency_ns[cell] - lo) * buckets, hi - lo)
        return max(1, exact + (rest > 0))

    def better(c: Cell) -> tuple[int, float, int, str]:
        return -c[1], -plan.accuracy[c[0]], plan.latency_ns[c], c[0]

    kept = [min((c for c in cells if bucket(c) == k), key=better) for k in {bucket(c) for c in cells}]

    def choose(slack: int, depth: int) -> Cell | None:
        fit = [c for c in kept if plan.latency_ns[c] <= slack]
        return max(fit, key=lambda c: plan.latency_ns[c]) if fit else None

    return choose


def largest_fitting(plan: Plan, subnet: str) -> Choose:
    def choose(slack: int, depth: int) -> Cell | None:
        fit = [b for b in plan.sizes if plan.latency_ns[subnet, b] <= slack]
        return (subnet, max(fit)) if fit else None

    return choose


def max_batch(plan: Plan, subnets: Sequence[str]) -> Choose:
    least = min(subnets, key=lambda s: (plan.accuracy[s], plan.latency_ns[s, plan.sizes[0]], s))

    def choose(slack: int, depth: int) -> Cell | None:
        fit = [b for b in plan.sizes if plan.latency_ns[least, b] <= slack]
        if not fit:
            return None
        size = max(fit)
        able = [s for s in subnets if plan.latency_ns[s, size] <= slack]
        return min(able, key=lambda s: (-plan.accuracy[s], plan.latency_ns[s, size], s)), size

    return choose


def max_accuracy(plan: Plan, subnets: Sequence[str]) -> Choose:
    def choose(slack: int, depth: int) -> Cell | None:
        able = [s for s in subnets if plan.latency_ns[s, plan.sizes[0]] <= slack]
        if not able:
            return None
        best = min(able, key=lambda s: (-plan.accuracy[s], plan.latency_ns[s, plan.sizes[0]], s))
        return best, max(b for b in plan.sizes if plan.latency_ns[best, b] <= slack)

    return choose


def serve(
    plan: Plan,
    subnets: Sequence[str],
    choose: Choose,
    arrivals: Sequence[tuple[int, int]],
    workers: int,
    late: str,
    faults: Sequence[tuple[int, int, bool]] = (),
) -> list[Ended]:
    """What becomes of (arrival, deadline) pairs; `subnets` are those that the policy may run."""
    fastest, largest = plan.fastest(subnets), plan.sizes[-1]
    out = [Ended("failed") for _ in arrivals]
    queue: list[int] = []
    idle, live = set(range(workers)), set(range(workers))
    running: dict[int, tuple[int, list[int]]] = {}

    def decisions(now: int) -> None:
        while idle and queue:
            queue.sort(key=lambda r: (arrivals[r][1], r))
            first = queue[0]
            slack, depth = arrivals[first][1] - now, len(queue)
            choice = choose(slack, depth)
            if choice is None and late == "serve":
                choice = (fastest, largest)
            if late == "shed" and choice is not None:
                hopeless = slack < plan.at(fastest, min(depth, largest))
                if hopeless and 2 * depth * plan.at(fastest, largest) > 3 * slack * len(live) * largest:
                    choice = None
            if choice is None:
                queue.pop(0)
                out[first].status, out[first].ended_ns = "dropped", now
                continue
            batch, queue[:] = queue[: choice[1]], queue[choice[1] :]
            worker = min(idle)
            idle.remove(worker)
            finish = now + plan.at(choice[0], len(batch))
            running[worker] = (finish, batch)
            for r in batch:
                status = "met" if finish <= arrivals[r][1] else "late"
                out[r] = Ended(status, now, finish, finish, choice[0], len(batch), worker)

    events = [(at, 3, r, False) for r, (at, _) in enumerate(arrivals)] + [(at, 2 if back else 1, w, back) for at, w, back in faults]
    while events or running:
        done = [(finish, 0, worker, False) for worker, (finish, _) in running.items()]
        event = min(events + done)
        now, what, subject, _ = event
        if what == 0:
            del running[subject]
            idle.add(subject)
        else:
            events.remove(event)
        if what == 1:
            live.discard(subject)
            idle.discard(subject)
            for r in running.pop(subject, (0, []))[1]:
                queue.append(r)
                out[r].finish_ns = -1
        if what == 2:
            live.add(subject)
            idle.add(subject)
        if what == 3:
            queue.append(subject)
        decisions(now)
    for r in queue:
        out[r].status, out[r].ended_ns = "failed", arrivals[r][1]
    return out
