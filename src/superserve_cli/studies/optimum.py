"""The best that any schedule could have made of a short trace: the offline programme of SuperServe (4.1, ZILP), solved exactly.

The paper chooses batches, each a set of requests with a subnet, a worker and a start. Written so, there are exponentially many. The
same schedules, told by their slots: a slot is (subnet, batch size, start), an integer says how many workers run it, and a 0/1
variable says whether a request rides in it.

- A request rides once, in a slot that starts at or after its arrival and ends by its deadline (the paper prints the *earliest* arrival
  of the batch as its earliest start; nobody can serve a request that has not arrived, so here it is the latest), and reaches its floor.
- Each of the z workers in a slot of batch size b carries at most b requests, and more than the next smaller batch size b' could hold,
  since a batch runs as the smallest profiled size that holds it: z (b' + 1) to z b in all, which can always be dealt to them so.
- At every start, no more slots are under way than there are workers. Intervals of which no more than W overlap can be dealt to W
  workers, so workers need no number.
- Starts: moving each batch forward as far as its requests and its worker allow keeps every deadline, so some optimal schedule starts
  each batch at an arrival or at the end of another: at an arrival plus a sum of latencies.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from superserve_cli.errors import BadOption
from superserve_cli.profiles import Profile
from superserve_cli.traces.trace import Trace

MOST_VARIABLES: Final = 20_000
PATIENCE_S: Final = 60.0
OPTIMAL: Final = 0
HINT: Final = "the optimum is for some twenty requests on few cells; `utility_bound` bounds any trace"


class Slot(NamedTuple):
    """When and as what a batch may run, how few and how many requests it takes, and who can ride."""

    start_ns: int
    end_ns: int
    accuracy: float
    least: int
    most: int
    riders: tuple[int, ...]


class Window(NamedTuple):
    """What a request asks for."""

    arrival_ns: int
    deadline_ns: int
    floor: float


def optimal_utility(trace: Trace, profile: Profile, *, workers: int, slo_ns: int) -> float:
    """The greatest utility that a schedule of the profile's subnets can have on a trace, to the solver's 1e-6 / requests.

    It runs no request late, which could pay only where a batch is faster than a smaller one. Service takes plan_ns. Raises BadOption
    where the programme is too large to be solved exactly, where requests have several rows, and where there is no request or an
    accuracy is unknown.
    """
    if not len(trace) or None in profile.accuracies:
        raise BadOption("without requests, or with an accuracy unknown, there is no best utility", hint=HINT)
    if trace.size is not None and (trace.size > 1).any():
        raise BadOption("the optimum is for requests of one row", hint=HINT)
    slots = _slots(_windows(trace, slo_ns), profile)
    return _solve(slots, len(trace), workers) / len(trace) if slots else 0.0


def _windows(trace: Trace, slo_ns: int) -> list[Window]:
    floors = np.zeros(len(trace)) if trace.min_accuracy is None else trace.min_accuracy
    return [Window(*window) for window in zip(trace.arrival_ns.tolist(), trace.deadlines_ns(slo_ns).tolist(), floors.tolist(), strict=True)]


def _slots(windows: Sequence[Window], profile: Profile) -> list[Slot]:
    """All slots that some request can ride in, from every arrival on, and from every end of such a slot."""
    slots: list[Slot] = []
    seen = {window.arrival_ns for window in windows}
    starts, variables = list(seen), 0
    while starts:
        found = list(_starting(starts.pop(), windows, profile))
        variables += sum(1 + len(slot.riders) for slot in found)
        if variables > MOST_VARIABLES:
            raise BadOption(f"the optimum of {len(windows)} requests takes more than {MOST_VARIABLES} variables", hint=HINT)
        slots += found
        fresh = {slot.end_ns for slot in found} - seen
        seen |= fresh
        starts += fresh
    return slots


def _starting(start_ns: int, windows: Sequence[Window], profile: Profile) -> Iterator[Slot]:
    for cell in profile.cells():
        end_ns, accuracy = start_ns + cell.plan_ns, cell.accuracy or 0.0
        least = 1 + ([0, *profile.batch_sizes][bisect_left(profile.batch_sizes, cell.batch_size)])
        riders = tuple(i for i, w in enumerate(windows) if w.arrival_ns <= start_ns and end_ns <= w.deadline_ns and w.floor <= accuracy)
        if len(riders) >= least:
            yield Slot(start_ns, end_ns, accuracy, least, cell.batch_size, riders)


class Rows:
    """Linear constraints, a row at a time: low <= the sum of coefficient x variable <= high."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, int]] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, terms: Sequence[tuple[int, int]], low: float, high: float) -> None:
        """Terms are (variable, coefficient)."""
        self.entries += [(len(self.low), variable, coefficient) for variable, coefficient in terms]
        self.low.append(low)
        self.high.append(high)

    def over(self, variables: int) -> LinearConstraint:
        """The constraints over so many variables."""
        row, column, value = zip(*self.entries, strict=True)
        return LinearConstraint(coo_array((value, (row, column)), shape=(len(self.low), variables)).tocsr(), self.low, self.high)


def _solve(slots: Sequence[Slot], requests: int, workers: int) -> float:
    """The greatest sum of accuracies; variable j says how many workers run slot j, those behind say who rides where."""
    rides = [(i, j) for j, slot in enumerate(slots) for i in slot.riders]
    total = len(slots) + len(rides)
    value = np.array([0.0] * len(slots) + [slots[j].accuracy for _, j in rides])
    solved = milp(
        -value,
        integrality=np.ones(total),
        bounds=Bounds(0, np.array([workers] * len(slots) + [1] * len(rides))),
        constraints=_constraints(slots, rides, requests, workers).over(total),
        options={"time_limit": PATIENCE_S, "mip_rel_gap": 0.0},
    )
    if solved.status != OPTIMAL:
        raise BadOption(f"the optimum of {requests} requests was not found in {PATIENCE_S:g} s", hint=HINT)
    return float(value @ np.rint(solved.x))


def _constraints(slots: Sequence[Slot], rides: Sequence[tuple[int, int]], requests: int, workers: int) -> Rows:
    rows = Rows()
    of_request: list[list[tuple[int, int]]] = [[] for _ in range(requests)]
    of_slot: list[list[tuple[int, int]]] = [[] for _ in slots]
    for variable, (i, j) in enumerate(rides, len(slots)):
        of_request[i].append((variable, 1))
        of_slot[j].append((variable, 1))
    for terms in filter(None, of_request):
        rows.add(terms, -np.inf, 1)
    for j, slot in enumerate(slots):
        rows.add([*of_slot[j], (j, -slot.most)], -np.inf, 0)
        rows.add([*of_slot[j], (j, -slot.least)], 0, np.inf)
    for now_ns in {slot.start_ns for slot in slots}:
        rows.add([(j, 1) for j, slot in enumerate(slots) if slot.start_ns <= now_ns < slot.end_ns], -np.inf, workers)
    return rows
