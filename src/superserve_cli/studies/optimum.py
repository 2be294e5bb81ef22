"""The best that any schedule could have made of a short trace: the offline programme of SuperServe (4.1, ZILP), solved exactly.

The paper chooses batches, each a set of requests with a subnet, a worker and a start; written so, there are exponentially many. The
same schedules, told by the last request of each batch to arrive, its *leader* (of equals, the greater id):

- A batch has one leader, so there is one possible batch per request. It runs in one cell (subnet, batch size), and carries its leader
  and requests that arrived before it: at most the batch size, and more than the next smaller size holds, since a batch runs as the
  smallest profiled size that holds it. A request rides in one batch at most, on a subnet that reaches its floor.
- It starts when its leader has arrived, or later (the paper prints the *earliest* arrival of the batch; nobody can serve a request
  that has not arrived), and ends by the deadline of every rider.
- It is the first of a worker, or follows another batch, after whose end it starts; a batch is followed by one at most, and no more
  batches are first than there are workers. So every worker runs one batch at a time.

The rows that hold only if a variable is 1 are relaxed by no more than the windows allow otherwise. What no integer schedule needs, but
helps the solver: the batches whose windows lie between two instants take no more time than the workers have between them.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from superserve_cli.errors import BadOption
from superserve_cli.profiles import Profile
from superserve_cli.studies.program import Program, Term
from superserve_cli.traces.trace import Trace

MOST: Final = 5_000
"""How many variables may be taken to the solver: more would keep it busy for longer than its patience."""
PATIENCE_S: Final = 120.0
HINT: Final = "the optimum is for a dozen requests on few cells; the bound of docs/metrics.md holds for any trace"


class Window(NamedTuple):
    """What a request asks for; times count from the first arrival."""

    arrival_ns: int
    deadline_ns: int
    floor: float


class Cell(NamedTuple):
    """One way to run a batch: its subnet's number, how few and how many requests it holds, how long it takes, its accuracy."""

    subnet: int
    least: int
    most: int
    plan_ns: int
    accuracy: float


class Batch(NamedTuple):
    """A batch of a schedule: its cell, who rides in it, and the leader of the batch before it on its worker, if any."""

    cell: Cell
    riders: tuple[int, ...]
    after: int | None


def optimal_utility(trace: Trace, profile: Profile, *, workers: int, slo_ns: int) -> float:
    """The greatest utility that a schedule of the profile's subnets can have on a trace; service takes plan_ns.

    It runs no request late, which could pay only where a batch is faster than a smaller one. Proven by the solver to within 1e-6 /
    requests. Raises BadOption where the programme is too large or takes too long to be solved
    exactly, where requests have several rows, and where there is no request or an accuracy is unknown.
    """
    if not len(trace) or None in profile.accuracies:
        raise BadOption("without requests, or with an accuracy unknown, there is no best utility", hint=HINT)
    if trace.size is not None and (trace.size > 1).any():
        raise BadOption("the optimum is for requests of one row", hint=HINT)
    if (variables := len(trace) * (2 + len(trace) * (1 + len(profile.subnets)) + len(list(profile.cells())))) > MOST:
        raise BadOption(f"the optimum of {len(trace)} requests takes {variables} variables, more than {MOST}", hint=HINT)
    windows, cells = _windows(trace, slo_ns), _cells(profile)
    if (solved := _program(windows, cells, workers).solve(PATIENCE_S)) is None:
        raise BadOption(f"the optimum of {len(trace)} requests was not found in {PATIENCE_S:g} s", hint=HINT)
    schedule = _schedule({name for name, value in solved.items() if value > 0.5}, len(windows), cells)
    _check(schedule, windows)
    return sum(batch.cell.accuracy * len(batch.riders) for batch in schedule.values()) / len(windows)


def _windows(trace: Trace, slo_ns: int) -> list[Window]:
    begin_ns = trace.arrival_ns[0]
    floors = np.zeros(len(trace)) if trace.min_accuracy is None else trace.min_accuracy
    columns = (trace.arrival_ns - begin_ns, trace.deadlines_ns(slo_ns) - begin_ns, floors)
    return [Window(*window) for window in zip(*(column.tolist() for column in columns), strict=True)]


def _cells(profile: Profile) -> list[Cell]:
    least = [1 + size for size in (0, *profile.batch_sizes)]
    return [
        Cell(subnet, least[b], profile.batch_sizes[b], plan_ns, profile.accuracies[subnet] or 0.0)
        for subnet, plans in enumerate(profile.plan)
        for b, plan_ns in enumerate(plans)
    ]


def _program(windows: Sequence[Window], cells: Sequence[Cell], workers: int) -> Program:
    """Variables: (start, j) and (first, j) of the batch that j leads, (runs, j, cell), (rides, i, j, subnet), (next, j, k)."""
    program = Program()
    leaders = range(len(windows))
    for j in leaders:
        _declare(program, windows, cells, j)
    for i in leaders:
        program.row([(("rides", i, j, s), 1) for j in leaders[i:] for s in _subnets(cells)], high=1)
    for j in leaders:
        _carry(program, cells, j)
        _end_in_time(program, windows, cells, j)
        _follow(program, windows, cells, j)
    program.row([(("first", j), 1) for j in leaders], high=workers)
    _fit(program, windows, cells, workers)
    return program


def _subnets(cells: Sequence[Cell]) -> range:
    return range(1 + max(cell.subnet for cell in cells))


def _declare(program: Program, windows: Sequence[Window], cells: Sequence[Cell], j: int) -> None:
    """What may be decided about the batch that j leads; its cells must fit its leader's window and floor."""
    leader = windows[j]
    program.number(("start", j), leader.arrival_ns, leader.deadline_ns)
    program.yes_or_no(("first", j))
    for k in range(len(windows)):
        if k != j and leader.arrival_ns < windows[k].deadline_ns:
            program.yes_or_no(("next", j, k))
    for c, cell in enumerate(cells):
        fits = cell.plan_ns <= leader.deadline_ns - leader.arrival_ns and cell.least <= j + 1 and cell.accuracy >= leader.floor
        if not fits:
            continue
        program.yes_or_no(("runs", j, c))
        for i in range(j + 1):
            fits = leader.arrival_ns + cell.plan_ns <= windows[i].deadline_ns and cell.accuracy >= windows[i].floor
            if fits and ("rides", i, j, cell.subnet) not in program:
                program.yes_or_no(("rides", i, j, cell.subnet), value=cell.accuracy)


def _runs(cells: Sequence[Cell], j: int, factor: float = 1.0) -> list[Term]:
    """Whether the batch that j leads runs at all."""
    return [(("runs", j, c), factor) for c in range(len(cells))]


def _takes_ns(cells: Sequence[Cell], j: int) -> list[Term]:
    """How long the batch that j leads takes: nothing if it does not run."""
    return [(("runs", j, c), cell.plan_ns) for c, cell in enumerate(cells)]


def _carry(program: Program, cells: Sequence[Cell], j: int) -> None:
    """A batch that runs does so in one cell, with its leader, and with as many riders as make it run there."""
    program.row(_runs(cells, j), high=1)
    for s in _subnets(cells):
        own = [(c, cell) for c, cell in enumerate(cells) if cell.subnet == s]
        riders: list[Term] = [(("rides", i, j, s), 1) for i in range(j + 1)]
        program.row([*riders, *((("runs", j, c), -cell.most) for c, cell in own)], high=0)
        program.row([*riders, *((("runs", j, c), -cell.least) for c, cell in own)], low=0)
        program.row([(("rides", j, j, s), 1), *((("runs", j, c), -1) for c, _ in own)], 0, 0)


def _end_in_time(program: Program, windows: Sequence[Window], cells: Sequence[Cell], j: int) -> None:
    """A batch ends by its leader's deadline, and by that of everyone who rides in it."""
    own_ns = windows[j].deadline_ns
    for i in range(j + 1):
        spared_ns = own_ns - windows[i].deadline_ns
        if i == j or spared_ns > 0:
            rides = [] if i == j else [(("rides", i, j, s), spared_ns) for s in _subnets(cells)]
            program.row([(("start", j), 1), *_takes_ns(cells, j), *rides], high=own_ns)


def _follow(program: Program, windows: Sequence[Window], cells: Sequence[Cell], j: int) -> None:
    """A batch that runs is the first of its worker or starts after the end of another; it is followed by one at most."""
    others = [k for k in range(len(windows)) if k != j]
    program.row([(("first", j), 1), *((("next", k, j), 1) for k in others), *_runs(cells, j, -1)], 0, 0)
    program.row([*((("next", j, k), 1) for k in others), *_runs(cells, j, -1)], high=0)
    for k in others:
        overlap_ns = windows[j].deadline_ns - windows[k].arrival_ns
        if overlap_ns > 0:
            program.row([(("start", j), 1), *_takes_ns(cells, j), (("start", k), -1), (("next", j, k), overlap_ns)], high=overlap_ns)


def _fit(program: Program, windows: Sequence[Window], cells: Sequence[Cell], workers: int) -> None:
    """Between an arrival and a deadline, batches that must run there take no more time than the workers have."""
    for begin_ns in sorted({window.arrival_ns for window in windows}):
        for end_ns in sorted({window.deadline_ns for window in windows}):
            inside = [j for j, window in enumerate(windows) if begin_ns <= window.arrival_ns and window.deadline_ns <= end_ns]
            if inside:
                program.row([term for j in inside for term in _takes_ns(cells, j)], high=workers * (end_ns - begin_ns))


def _schedule(chosen: set[Hashable], requests: int, cells: Sequence[Cell]) -> dict[int, Batch]:
    """The batches of a solution by their leaders."""
    found = {}
    for j in range(requests):
        for c, cell in enumerate(cells):
            if ("runs", j, c) in chosen:
                riders = tuple(i for i in range(j + 1) if ("rides", i, j, cell.subnet) in chosen)
                found[j] = Batch(cell, riders, next((k for k in range(requests) if ("next", k, j) in chosen), None))
    return found


def _check(schedule: Mapping[int, Batch], windows: Sequence[Window]) -> None:
    """Run the schedule in whole nanoseconds: the solver's own arithmetic forgives a millionth of the trace's length."""
    ends_ns = dict(_ends(schedule, windows))
    for leader, batch in schedule.items():
        if leader not in ends_ns or ends_ns[leader] > min(windows[i].deadline_ns for i in batch.riders):
            raise BadOption("the solver cannot tell whether a deadline can be met", hint="its arithmetic is too coarse for this trace")


def _ends(schedule: Mapping[int, Batch], windows: Sequence[Window]) -> Iterator[tuple[int, int]]:
    """When each batch ends if it starts as early as it can, worker by worker: (leader, ns)."""
    followed = {batch.after: leader for leader, batch in schedule.items() if batch.after is not None}
    for first in (leader for leader, batch in schedule.items() if batch.after is None):
        leader: int | None = first
        end_ns = 0
        while leader is not None:
            end_ns = max(end_ns, windows[leader].arrival_ns) + schedule[leader].cell.plan_ns
            yield leader, end_ns
            leader = followed.get(leader)
