"""What a search found, in numbers and as a table."""

from typing import Any, Final

from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.reports.notation import UNKNOWN
from superserve_cli.studies.tuning.judging import Judge, Score
from superserve_cli.studies.tuning.search import SHOWN, Tuned

COLUMNS: Final = ("policy", "train.\ngap", "train.\natt. %", "valid.\nutil. %", "valid.\ngap", "valid.\nbehind", "valid.\natt. %")
RIVALS: Final = tuple(name for name in SHOWN if name != "price")
"""Whom `behind` compares with: the policies of the SuperServe paper."""


def announced(training: Judge) -> str:
    """What the search is about to do, in a line."""
    s, requests = training.setting, sum(map(len, training.traces))
    rules = f"SLO {s.slo_ns / NS_PER_MS:g} ms, {s.workers} workers, late rule {s.late}, service {s.service}"
    return f"training on {len(training.traces)} traces, {requests:,} requests: {rules}"


def told(found: Tuned, training: Judge, validation: Judge) -> dict[str, Any]:
    """A search in numbers, all of them shares.

    By policy, on both sets of traces: means of utility and of its gap to the bound, the attainment of the worst trace, on how many
    traces it is enough, and `behind`: how far the utility is below the best rival's, where that is most.
    """
    setting = training.setting
    return {
        "start": found.start,
        "improved": found.improved,
        "interrupted": found.interrupted,
        "profile": {key: setting.profile.metadata.get(key) for key in ("name", "hash")},
        "workers": setting.workers,
        "slo_ms": setting.slo_ns / NS_PER_MS,
        "late": setting.late,
        "service": setting.service,
        "attainment": setting.attainment,
        "training": _judged(found.training, training),
        "validation": None if found.validation is None else _judged(found.validation, validation),
    }


def rows(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """What `told` says, for a terminal: utilities and attainments in per cent, the others in points."""
    trained, validated = told["training"]["policies"], (told["validation"] or {}).get("policies", {})
    return [
        (name, *_numbers(trained[name], "gap", "attainment"), *_numbers(validated.get(name, {}), "utility", "gap", "behind", "attainment"))
        for name in trained
    ]


def _numbers(score: dict[str, float], *names: str) -> list[str]:
    return [f"{100 * score[name]:.3f}" if name in score else UNKNOWN for name in names]


def _judged(scores: dict[str, Score], judge: Judge) -> dict[str, Any]:
    rivals, least = [scores[name] for name in RIVALS if name in scores], judge.setting.attainment
    return {
        "traces": len(judge.traces),
        "requests": sum(map(len, judge.traces)),
        "bound": judge.bound,
        "policies": {
            name: {
                "utility": score.utility,
                "gap": judge.bound - score.utility,
                "attainment": score.attainment,
                "attained": sum(a >= least for a in score.attainments),
                "behind": score.behind(rivals),
            }
            for name, score in scores.items()
        },
    }
