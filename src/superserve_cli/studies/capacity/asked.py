"""A search for capacity from what a person asks for, every default filled in and every nonsense refused."""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from superserve_cli import traces
from superserve_cli.core import provenance
from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.engine.check import check
from superserve_cli.errors import BadOption
from superserve_cli.profiles import Profile
from superserve_cli.studies.capacity.search import Ladder, Question, fleets, rates
from superserve_cli.traces import Mix, Trace

RATE: Final = "rate"
WORKERS: Final = "workers"
DEFAULT_WORKERS: Final = 8
DEFAULT_DURATION_S: Final = 60.0


class Asked(NamedTuple):
    """What is searched, RATE or WORKERS, of which question, among which loads; `about` is what else a reader must know."""

    search: str
    question: Question
    ladder: Ladder
    about: Mapping[str, Any]


def ask(
    trace: str,
    profile: Profile,
    *,
    workers: int | None,
    mean_qps: float | None,
    mix: Mix | None,
    duration_s: float | None,
    seeds: int,
    **rules: Any,
) -> Asked:
    """The search that the options mean: for a rate on `workers` (8), or, with `mean_qps` or a `file:`, for workers.

    `rules` are `slo_ns`, `late`, `service` (None: measured where the profile has quantiles) and `attainment`. Raises BadOption,
    Unknown or BadFile.
    """
    rules["service"] = rules["service"] or profile.default_service()
    count = DEFAULT_WORKERS if workers is None else workers
    check(profile, count, rules["slo_ns"], rules["late"], rules["service"])
    if mean_qps is not None and workers is not None:
        raise BadOption("--workers and --mean-qps leave nothing to search", hint="give one of them: capacity finds the other")
    told = {"trace": trace, "mix": mix and mix.described(), "profile": _described(profile), "command": provenance.command()}
    if trace.startswith("file:"):
        if workers is not None:
            raise BadOption(
                "file: is replayed exactly as it is, so no other rate can be tried", hint="leave --workers out, to find the fewest"
            )
        question, qps = _of_file(trace, profile, mean_qps, mix, duration_s, seeds, rules)
        return Asked(WORKERS, question, fleets(question, qps), {**told, "workers": None, "mean_qps": qps})
    question = _generated(trace, profile, mix, DEFAULT_DURATION_S if duration_s is None else duration_s, seeds, rules)
    if mean_qps is not None:
        return Asked(WORKERS, question, fleets(question, mean_qps), {**told, "workers": None, "mean_qps": mean_qps})
    ladder = rates(question, count)
    question.trace(ladder.load(ladder.lightest).qps, 0)  # what is wrong with the trace is told before any work is done
    return Asked(RATE, question, ladder, {**told, "workers": count, "mean_qps": None})


def _generated(trace: str, profile: Profile, mix: Mix | None, duration_s: float, seeds: int, rules: Mapping[str, Any]) -> Question:
    if not 0 < duration_s < math.inf:
        raise BadOption(f"--duration is {duration_s:g}; it must be a positive number", hint="give some seconds")

    def arrivals(qps: float, seed: int) -> Trace:
        return traces.load(trace, qps=qps, duration_s=duration_s, seed=seed, mix=mix)

    rows = mix.rows if mix else 1.0
    return Question(arrivals, profile, duration_s, seeds=range(seeds), fresh=range(seeds, 2 * seeds), rows=rows, **rules)


def _of_file(
    trace: str, profile: Profile, qps: float | None, mix: Mix | None, duration_s: float | None, seeds: int, rules: Mapping[str, Any]
) -> tuple[Question, float]:
    """A file has its own rate; its seeds are those of the service times, where these are random."""
    arrived = traces.load(trace, qps=qps, duration_s=duration_s, mix=mix)
    span_s, drawn = arrived.duration_ns / NS_PER_S, rules["service"] == "measured"
    question = Question(
        lambda qps, seed: arrived,
        profile,
        span_s,
        seeds=range(seeds if drawn else min(seeds, 1)),
        fresh=range(seeds, 2 * seeds) if drawn else (),
        rows=arrived.rows / len(arrived),
        **rules,
    )
    return question, len(arrived) / span_s


def _described(profile: Profile) -> dict[str, Any]:
    return {key: profile.metadata.get(key) for key in ("name", "hash")} | {"subnets": list(profile.subnets)}
