"""A trace, a profile and a policy, served in virtual time by the engine's own steps."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.core.outcomes import FAILED, NEVER, Outcomes
from superserve_cli.engine import steps
from superserve_cli.engine.check import check
from superserve_cli.engine.compiled import simulate as compiled
from superserve_cli.engine.heaps import array_heaps
from superserve_cli.engine.idle import all_idle
from superserve_cli.engine.lanes import lanes
from superserve_cli.engine.tables import Classes, classes
from superserve_cli.engine.world import ARRIVED, LIVE, PICKS, Control, Outcome, State, World
from superserve_cli.engine.world import simulate as as_it_stands
from superserve_cli.errors import BadOption
from superserve_cli.policies import Control as PolicyControl
from superserve_cli.policies import Policy, Seen
from superserve_cli.policies.greedy import largest_fitting
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.traces.trace import Trace

Fault = tuple[int, int, bool]
"""(time in ns, worker, whether it returns): a worker that is lost, or comes back."""
MOST_TICKS: Final = 4_000_000
"""How often a control loop may be called in a run: some minutes, and more than a day at every 25 ms."""
LOOK_AHEAD: Final = 1024
"""How many waiting requests a policy looks at that gives the latest start precedence."""
ROUTING: Final = np.random.SeedSequence(0, spawn_key=(1,))
"""A stream of its own: that of seed 0 draws service times, and which queue an idle worker picks."""


class Sharding(NamedTuple):
    """Routers that share the workers: each request goes to one of them at random, and waits in its queue alone.

    A worker that is idle serves the queue that `pick` chooses: the one with the `least-slack` of all, a `random` one that is not
    empty, or the more urgent of two such (`two-choices`). A router plans with its share of the workers.
    """

    routers: int = 1
    pick: str = "least-slack"

    def routed(self, requests: int) -> NDArray[np.int16]:
        """Which router each of so many requests goes to: the same in all runs, and independent of what else they draw."""
        return np.random.default_rng(ROUTING).integers(self.routers, size=requests, dtype=np.int16)


ONE_ROUTER: Final = Sharding()


def simulate(
    trace: Trace,
    profile: Profile,
    policy: Policy,
    *,
    workers: int,
    slo_ns: int,
    late: str = "shed",
    service: str = "fixed",
    seed: int = 0,
    faults: Sequence[Fault] = (),
    sharding: Sharding = ONE_ROUTER,
    interpreted: bool = False,
) -> Outcomes:
    """What becomes of every request of a trace on `workers` workers of the profile's kind, all idle at first.

    `profile` holds the served subnets; `slo_ns` is for requests that have none of their own; `service` is `fixed` (every batch takes
    its plan_ns) or `measured` (drawn from the profile's quantiles, one uniform number per batch from `seed`). `interpreted` runs the
    source as it stands, over lists, a hundred times slower, for whoever wants to step through it. Raises BadOption.
    """
    check(profile, workers, slo_ns, late, service)
    hook = policy.controlled(profile, workers, slo_ns)
    floors = () if trace.min_accuracy is None else tuple(np.unique(trace.min_accuracy).tolist())
    _check_ticks(trace, policy, hook, slo_ns, faults)
    served = classes(hook.modes, profile, max(1, workers // sharding.routers), floors, sharding.routers)
    requests = _requests(trace, served, slo_ns, sharding)
    state, out = _state(requests, served, workers, sharding), _nothing_yet(len(trace))
    if interpreted:
        state = _over_lists(state, workers)
    control = _control(hook, workers, sharding)
    world, tables = _world(trace, profile, service, faults), served.arrays
    random = np.random.default_rng(seed)
    until_ns = steps.NEVER if hook.tick is None else hook.first_ns
    run = as_it_stands if interpreted else compiled
    while run(world, requests, tables, control, steps.LATE_RULES[late], until_ns, random, state, out) and hook.tick is not None:
        seen = Seen(until_ns, int(state.at[ARRIVED]), int(np.asarray(state.depth).sum()))
        for worker, mode in enumerate(hook.tick(seen)):
            if mode != control.mode[worker]:
                control.mode[worker], state.owed_ns[worker] = mode, hook.load_ns
        until_ns += hook.period_ns
    return _outcomes(trace, requests, served, out)


def _check_ticks(trace: Trace, policy: Policy, hook: PolicyControl, slo_ns: int, faults: Sequence[Fault]) -> None:
    if hook.tick is None or not len(trace):
        return
    until_ns = max(int(trace.deadlines_ns(slo_ns).max()), *(at_ns for at_ns, _, _ in faults), 0)
    if until_ns // hook.period_ns > MOST_TICKS:
        raise BadOption(
            f"the control loop of policy {policy.name} would run {until_ns // hook.period_ns:,} times until the last deadline",
            hint=f"{MOST_TICKS:,} can be simulated: let arrivals count from the trace's own origin, or leave this policy out",
        )


def warm_up() -> None:
    """Compile the simulator, or load it from the cache of an earlier process: seconds the first time, then a fraction of one."""
    one = Profile(("one",), (1,), ((1,),), (None,))
    fixed = Policy("fixed:one", largest_fitting)
    simulate(Trace(np.zeros(1, np.int64)), one, fixed, workers=1, slo_ns=1)


def _requests(trace: Trace, served: Classes, slo_ns: int, sharding: Sharding) -> steps.Requests:
    rows = np.ones(len(trace), np.int16) if trace.size is None else np.minimum(trace.size, served.profile.largest + 1).astype(np.int16)
    kind = np.zeros(len(trace), np.int16)
    if trace.min_accuracy is not None:
        floors, at = np.unique(trace.min_accuracy, return_inverse=True)
        kind = np.array([served.of(floor) for floor in floors.tolist()], np.int16)[at]
    if sharding.routers > 1:
        kind = np.where(kind == steps.NOBODY, kind, sharding.routed(len(trace)) * np.int16(len(served.floors)) + kind)
    kind[rows > served.profile.largest] = steps.NOBODY
    return steps.Requests(trace.deadlines_ns(slo_ns), kind, rows)


def _state(requests: steps.Requests, served: Classes, workers: int, sharding: Sharding) -> State:
    queues = len(served.floors) * sharding.routers
    kind = np.asarray(requests.kind)
    room = np.bincount(kind[kind >= 0], minlength=queues).tolist() if queues > 1 else [len(kind)]
    at = np.zeros(5, np.int64)
    at[LIVE] = workers
    return State(
        queues=cast(steps.Heaps, lanes(np.asarray(requests.deadline_ns), room)),
        depth=np.zeros(queues, np.int64),
        idle=cast(steps.Heaps, all_idle(workers)),
        busy=cast(steps.Heaps, array_heaps([workers])),
        ready_ns=np.zeros(workers, np.int64),
        free_ns=np.zeros(workers, np.int64),
        tardy=np.zeros(workers, np.bool_),
        owed_ns=np.zeros(workers, np.int64),
        clock_ns=np.zeros(workers, np.int64),
        batch=np.zeros(max(served.profile.largest, LOOK_AHEAD), np.int32),
        at=at,
    )


def _over_lists(state: State, workers: int) -> State:
    """The same state with queues such as the live router has."""
    return state._replace(queues=[[] for _ in range(len(state.depth))], idle=[[(worker, worker) for worker in range(workers)]], busy=[[]])


def _control(hook: PolicyControl, workers: int, sharding: Sharding) -> Control:
    same = range(len(hook.modes))
    return Control(
        mode=np.zeros(workers, np.int64),
        met=np.array(hook.met or same, np.int64),
        late=np.array(hook.late or same, np.int64),
        ahead_ns=hook.ahead_ns,
        admit_ns=hook.admit_ns,
        latest_start=int(hook.latest_start),
        routers=sharding.routers,
        pick=PICKS[sharding.pick],
    )


def _world(trace: Trace, profile: Profile, service: str, faults: Sequence[Fault]) -> World:
    arrival_ns = trace.arrival_ns
    ordered = sorted(faults, key=lambda fault: (fault[0], fault[2], fault[1]))
    quantiles = profile.quantiles_ns if service == "measured" and profile.quantiles_ns is not None else np.empty(0, np.int64)
    return World(
        arrival_ns=arrival_ns if arrival_ns.flags.writeable else arrival_ns.copy(),  # read-only arrays would be compiled for anew
        fault_ns=np.array([*(at for at, _, _ in ordered), steps.NEVER], np.int64),
        fault=np.array([*(~worker if back else worker for _, worker, back in ordered), 0], np.int64),
        quantiles_ns=np.ascontiguousarray(quantiles).reshape(-1),
        levels=LEVELS,
    )


def _nothing_yet(n: int) -> Outcome:
    def column(kind: type, value: int = NEVER) -> NDArray[Any]:
        return np.full(n, value, kind)

    return Outcome(
        start_ns=column(np.int64),
        finish_ns=column(np.int64),
        ended_ns=column(np.int64),
        cell=column(np.int64),
        batch_size=column(np.int32),
        worker=column(np.int32),
        status=column(np.int8, FAILED),
    )


def _outcomes(trace: Trace, requests: steps.Requests, served: Classes, out: Outcome) -> Outcomes:
    profile, cell, ended_ns = served.profile, np.asarray(out.cell), np.asarray(out.ended_ns)
    sizes = len(profile.batch_sizes)
    subnet_of = np.append(np.repeat(np.arange(len(profile.subnets), dtype=np.int32), sizes), np.int32(-1))  # cell -1, no batch, is the last
    accuracy_of = np.append(np.repeat([np.nan if a is None else a for a in profile.accuracies], sizes), np.nan)
    if (unserved := np.asarray(out.status) == FAILED).any():  # nobody was left to serve or to drop them
        ended_ns[unserved] = np.asarray(requests.deadline_ns)[unserved]
    return Outcomes(
        id=np.arange(len(trace)),
        arrival_ns=trace.arrival_ns,
        deadline_ns=np.asarray(requests.deadline_ns),
        start_ns=np.asarray(out.start_ns),
        finish_ns=np.asarray(out.finish_ns),
        ended_ns=ended_ns,
        subnets=profile.subnets,
        subnet=subnet_of[cell],
        accuracy=accuracy_of[cell],
        batch_size=np.asarray(out.batch_size),
        worker=np.asarray(out.worker),
        status=np.asarray(out.status),
        lag_ns=np.zeros(len(trace), np.int64),
        extra=_extra(trace),
    )


def _extra(trace: Trace) -> dict[str, pa.Array]:
    """The trace's own optional columns, carried into the outcomes."""
    columns = {"tenant": trace.tenant, "model": trace.model, "min_accuracy": trace.min_accuracy, "size": trace.size}
    return {name: pa.array(column) for name, column in columns.items() if column is not None}
