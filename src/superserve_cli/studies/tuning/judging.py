"""How good policies are on a set of traces: their utility, if they attain what is asked, and how far from the bound they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from superserve_cli.engine.simulator import simulate
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.reports import metrics
from superserve_cli.studies.bounds import utility_bound
from superserve_cli.traces import Trace


@dataclass(frozen=True)
class Setting:
    """What a policy is judged for; `attainment` is the least that is asked of it on every trace."""

    profile: Profile
    workers: int
    slo_ns: int
    late: str
    service: str
    attainment: float


@dataclass(frozen=True)
class Score:
    """A policy's utility and attainment on each trace."""

    utilities: tuple[float, ...]
    attainments: tuple[float, ...]

    @property
    def utility(self) -> float:
        """The mean over the traces."""
        return sum(self.utilities) / len(self.utilities)

    @property
    def attainment(self) -> float:
        """That of the worst trace."""
        return min(self.attainments)

    def rank(self, least: float) -> tuple[float, float]:
        """To compare by: attainment as far as it is asked for, then utility."""
        return min(self.attainment, least), self.utility

    def behind(self, others: Sequence["Score"]) -> float:
        """How far below the best of others the utility is, on the trace where that is most; negative where it is best everywhere."""
        best: list[float] = [max(utilities) for utilities in zip(*(other.utilities for other in others), strict=True)]
        return max(most - own for most, own in zip(best, self.utilities, strict=True))


@dataclass(frozen=True)
class Judge:
    """Simulates policies on traces; the same policy always gets the same score."""

    setting: Setting
    traces: tuple[Trace, ...]

    def score(self, policy: Policy) -> Score:
        """What a policy reaches; raises BadOption or BadFile where it cannot serve the profile."""
        s = self.setting
        outcomes = [
            simulate(trace, s.profile, policy, workers=s.workers, slo_ns=s.slo_ns, late=s.late, service=s.service, seed=at)
            for at, trace in enumerate(self.traces)
        ]
        return Score(tuple(metrics.utility(o) or 0.0 for o in outcomes), tuple(metrics.attainment(o) or 0.0 for o in outcomes))

    @cached_property
    def bound(self) -> float:
        """What no scheduler's mean utility can pass."""
        s = self.setting
        bounds = [utility_bound(t, s.profile, workers=s.workers, slo_ns=s.slo_ns, service=s.service) for t in self.traces]
        return sum(b or 0.0 for b in bounds) / len(bounds)
