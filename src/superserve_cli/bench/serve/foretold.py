"""What virtual time foretells of a live run, and how far apart the two are."""

from dataclasses import replace
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from superserve_cli import policies
from superserve_cli.bench.figure import Figure
from superserve_cli.core.nouns import NS_PER_S, NS_PER_US
from superserve_cli.core.outcomes import MET, Outcomes
from superserve_cli.engine.simulator import simulate
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.reports import metrics
from superserve_cli.traces import Trace

POLICY: Final = "slackfit"
LATE: Final = "shed"
TARGET: Final = 1.0


class Seen(NamedTuple):
    """One run, live or simulated: `mix` is the share of the requests that ran on each subnet."""

    attainment: float
    accuracy: float
    mix: dict[str, float]
    slowdown: float = 1.0


class Overheads(NamedTuple):
    """What no profile knows."""

    handover_ns: int = 0
    wire_ns: int = 0
    slowdown: float = 1.0


NOTHING: Final = Overheads()


def mean_ns(profile: Profile) -> np.ndarray:
    """The mean time (subnets, batch sizes) of what is drawn from the quantiles of a profile."""
    quantiles = profile.quantiles_ns
    assert quantiles is not None
    levels = np.array([0.0, *LEVELS, 1.0])
    flat = np.concatenate((quantiles[..., :1], quantiles, quantiles[..., -1:]), axis=-1)
    return np.asarray(((flat[..., 1:] + flat[..., :-1]) / 2 * np.diff(levels)).sum(axis=-1))


def capacity(profile: Profile) -> float:
    """Requests per second that one worker sustains on its fastest subnet in its best batch."""
    return float((np.array(profile.batch_sizes) * NS_PER_S / mean_ns(profile)).max())


def foretold(offered: Trace, profile: Profile, slo_ns: int, overheads: Overheads, seed: int) -> Seen:
    """The same in virtual time. A batch keeps its worker for the hand-over as well, and planning knows that; the answer then travels."""
    outcomes = simulate(
        offered, real(profile, overheads), policies.named(POLICY), workers=1, slo_ns=slo_ns, late=LATE, service="measured", seed=seed
    )
    in_time = (outcomes.status == MET) & (outcomes.finish_ns + overheads.wire_ns <= outcomes.deadline_ns)
    return seen_in(outcomes, float(np.mean(in_time)))


def real(profile: Profile, overheads: Overheads) -> Profile:
    """The profile of a worker that is slower than profiled, which planning does not know, and that is handed its batches, which it does."""
    handover_ns, quantiles = overheads.handover_ns, profile.quantiles_ns
    return replace(
        profile,
        plan=tuple(tuple(plan_ns + handover_ns for plan_ns in row) for row in profile.plan),
        quantiles_ns=None if quantiles is None else np.round(quantiles * overheads.slowdown).astype(np.int64) + handover_ns,
    )


def seen_in(outcomes: Outcomes, attainment: float) -> Seen:
    """A run, of whose requests this share was met."""
    return Seen(attainment, metrics.accuracy(outcomes) or 0.0, metrics.subnets(outcomes))


def slowdown(outcomes: Outcomes, profile: Profile) -> float:
    """Time of inference over what the profile expects for the same batches, by request."""
    ran = metrics.answered(outcomes) & (outcomes.start_ns >= 0)
    row = np.array([profile.index(subnet) for subnet in outcomes.subnets])[outcomes.subnet[ran]]
    column = np.searchsorted(profile.batch_sizes, outcomes.batch_size[ran])
    return float((outcomes.finish_ns - outcomes.start_ns)[ran].sum() / mean_ns(profile)[row, column].sum())


def beside(name: str, at: float, found: Overheads, live: list[Seen]) -> list[Figure]:
    """What the simulation was told."""
    key = f"fidelity_{name}_{at:g}"
    return [
        Figure(f"{key}_handover_us", f"{name} at {at:g} of capacity: hand-over of a batch, mean", found.handover_ns / NS_PER_US, "us"),
        Figure(f"{key}_wire_us", "... the wire and the router, of lonely requests", found.wire_ns / NS_PER_US, "us"),
        Figure(f"{key}_service_ratio_beside", "... inference / in the profile, with other arrivals", found.slowdown, "x"),
        Figure(f"{key}_service_ratio", "... inference / in the profile", median(seen.slowdown for seen in live), "x"),
    ]


def compared(name: str, at: float, live: list[Seen], simulated: list[Seen], as_fast: list[Seen], alone: list[Seen]) -> list[Figure]:
    """Live runs beside what was foretold, what is simulated knowing how fast the device was in those runs, and what the profile says."""
    key = f"fidelity_{name}_{at:g}"
    met, told, known, bare = (100 * median(seen.attainment for seen in runs) for runs in (live, simulated, as_fast, alone))
    right, said = (100 * median(seen.accuracy for seen in runs) for runs in (live, simulated))
    apart = 100 * median(distance(seen.mix, simulated[0].mix) for seen in live)
    return [
        Figure(f"{key}_gap", f"{name} at {at:g} of capacity: attainment, live and simulated apart", abs(met - told), "points", TARGET),
        Figure(f"{key}_gap_as_fast", "... with the device as fast as it was in those runs", abs(met - known), "points", TARGET),
        Figure(f"{key}_attainment_live", f"... live, median of {len(live)}", met, "%"),
        Figure(f"{key}_attainment_simulated", f"... simulated, median of {len(simulated)}", told, "%"),
        Figure(f"{key}_attainment_as_fast", "... simulated with the device as fast as it was", known, "%"),
        Figure(f"{key}_attainment_profile", "... simulated from the profile alone", bare, "%"),
        Figure(f"{key}_accuracy_live", "... accuracy live", right, "%"),
        Figure(f"{key}_accuracy_simulated", "... accuracy simulated", said, "%"),
        Figure(f"{key}_mix", "... requests on other subnets than simulated", apart, "%"),
    ]


def distance(one: dict[str, float], other: dict[str, float]) -> float:
    """The share that two mixes do not have in common (total variation)."""
    return sum(abs(one.get(subnet, 0.0) - other.get(subnet, 0.0)) for subnet in one.keys() | other.keys()) / 2
