from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from superserve_cli.core.nouns import Choose, Subnet
from superserve_cli.errors import BadFile, BadOption, Unknown
from superserve_cli.profiles.profile import Profile

LONGEST_NS: Final = 2**60
"""Of any time that a control names: the simulator adds a few of them up in int64."""
Build = Callable[[Profile, int], Choose]
"""Offline half of a policy: (profile of the served subnets, number of workers) -> its online half."""


def everything(profile: Profile) -> Profile:
    """All served subnets: what a policy that chooses among them may run."""
    return profile


@dataclass(frozen=True)
class Policy:
    """A way to choose subnet and batch size, under the name that reports give it.

    `restrict` says which of the served subnets it may ever run; the rules for heads that cannot be met keep to them too. A policy
    that computes with slack and depth, instead of only comparing them, has a `grid`: its table is an approximation. One that needs
    more than the two has a `control`, made from (profile of the served subnets, workers, SLO in ns) for each run anew; `build` is then
    what it does before anything has happened.
    """

    name: str
    build: Build
    restrict: Callable[[Profile], Profile] = everything
    grid: bool = False
    control: "Callable[[Profile, int, int], Control] | None" = None

    def own(self, profile: Profile) -> Profile:
        """The served subnets that it may run; raises Unknown where it is to run one that is not served."""
        own = self.restrict(profile)
        if not own.subnets:
            raise Unknown("served subnet", self.name.partition(":")[2], profile.subnets)
        return own

    def controlled(self, profile: Profile, workers: int, slo_ns: int) -> "Control":
        """Its control, or for a policy without a memory one that changes nothing; raises Unknown."""
        self.own(profile)
        return Control((self,)) if self.control is None else self.control(profile, workers, slo_ns)


class Seen(NamedTuple):
    """What a control loop may know at `now_ns`: how many requests have arrived since the start, and how many rows wait."""

    now_ns: int
    arrived: int
    waiting: int


@dataclass(frozen=True)
class Control:
    """The hook for policies with a memory: several tables, its modes, of which each worker looks up one, and what changes which.

    All workers begin in mode 0. The idle worker with the lowest index alone is asked: where its table says WAIT, no other is. After a
    batch in mode m a worker is in mode `met[m]`, or `late[m]` where a request of the batch was late (as it was, where these are
    empty). A control loop is `tick`, called at `first_ns` and every `period_ns` from then on, while anything is to come; it answers
    with the mode of each worker, and a worker that gets another one takes nothing new for `load_ns` once it is free. One that is lost
    while it loads must load anew when it returns.

    A worker is given its next batch `ahead_ns` before it is free, where no other could start sooner, and the slack counts to that
    start. With `admit_ns`, a request is rejected at its arrival unless the first worker to be free of all that was admitted so far
    could run it in that time. With `latest_start`, every waiting request asks the table as if it were the head, the one whose batch
    must start first goes first, and those before it are dropped; but under the late rule `serve`, which drops nobody, the head goes
    first.
    """

    modes: tuple[Policy, ...]
    met: tuple[int, ...] = ()
    late: tuple[int, ...] = ()
    tick: Callable[[Seen], Sequence[int]] | None = None
    first_ns: int = 0
    period_ns: int = 0
    load_ns: int = 0
    ahead_ns: int = 0
    admit_ns: int = 0
    latest_start: bool = False

    def __post_init__(self) -> None:
        count = len(self.modes)
        for name, after in (("met", self.met), ("late", self.late)):
            if after and (len(after) != count or not set(after) <= set(range(count))):
                raise BadOption(
                    f"{name} is {after}", hint=f"name for each of {count} modes the next one, from 0 to {count - 1}, or nothing"
                )
        if self.tick is not None and self.period_ns < 1:
            raise BadOption(f"a control loop every {self.period_ns} ns from {self.first_ns} ns on", hint="give period_ns a positive number")
        times_ns = (self.first_ns, self.period_ns, self.load_ns, self.ahead_ns, self.admit_ns)
        if not count or not all(isinstance(ns, int) and 0 <= ns <= LONGEST_NS for ns in times_ns):
            raise BadOption(
                f"a control with {count} modes and the times {times_ns}", hint="give it a mode, and whole numbers of ns from 0 to 2**60"
            )


def by_accuracy(profile: Profile) -> list[Subnet]:
    """Subnets from the least to the most accurate; of equals the slower, then the greater id, comes first.

    Raises BadFile where an accuracy is unknown: ranking needs them all.
    """
    if None in profile.accuracies:
        unknown = profile.subnets[profile.accuracies.index(None)]
        raise BadFile(
            f"the profile does not know the accuracy of subnet {unknown}",
            hint="policies that rank by accuracy need it: add the column, or use fixed:SUBNET",
        )
    order = sorted(range(len(profile.subnets)), key=lambda i: (-(profile.accuracies[i] or 0.0), i))
    return [profile.subnets[i] for i in reversed(order)]


def least_accurate(profile: Profile) -> Subnet:
    """The least accurate subnet; of equals the faster, then the smaller id."""
    lowest = profile.accuracy(by_accuracy(profile)[0])
    return next(s for s in profile.subnets if profile.accuracy(s) == lowest)
