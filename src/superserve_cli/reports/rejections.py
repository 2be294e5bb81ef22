"""Requests that no subnet could ever serve, and what they asked for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from superserve_cli.core.outcomes import REJECTED
from superserve_cli.reports import notation
from superserve_cli.reports.run import Run


class Unreached(NamedTuple):
    """Requests rejected for their accuracy floor, the lowest and the highest of these floors, and the best accuracy that was served."""

    requests: int
    lowest: float
    highest: float
    best: float | None


def unreached(run: Run) -> Unreached | None:
    """The requests whose floor nothing that was served reaches; None where there are none, or a manifest does not tell what was served."""
    profile = run.manifest.get("profile") or {}
    if "min_accuracy" not in run.outcomes.extra or "best_accuracy" not in profile:
        return None
    best = profile["best_accuracy"]
    floor = run.outcomes.extra["min_accuracy"].fill_null(0.0).to_numpy(zero_copy_only=False)
    beyond = floor[np.equal(run.outcomes.status, REJECTED) & (floor > (0.0 if best is None else best))]
    return Unreached(len(beyond), float(beyond.min()), float(beyond.max()), best) if len(beyond) else None


def as_json(run: Run) -> dict[str, Any]:
    """`unreached` as it stands in `summary.json`, where there is any."""
    return {} if (found := unreached(run)) is None else {"unreached": found._asdict()}


def rejected(runs: Sequence[Run]) -> list[str]:
    """What is to be said of several runs: each sentence once, with the policies that it holds for unless it holds for all."""
    alike: dict[tuple[int, float, float], dict[str, float | None]] = {}
    for run in runs:
        if found := unreached(run):
            alike.setdefault(found[:3], {})[run.policy] = found.best
    return [
        ("" if len(best) == len(runs) else f"{', '.join(best)}: ")
        + f"{notation.count(requests)} {'request' if requests == 1 else 'requests'} rejected, because no subnet reaches "
        + f"an accuracy floor of {_range(lowest, highest)} "
        + _best([a for a in best.values() if a is not None])
        for (requests, lowest, highest), best in alike.items()
    ]


def _best(known: Sequence[float]) -> str:
    return f"(the best has {_range(min(known), max(known))})" if known else "(no accuracy is known)"


def _range(lowest: float, highest: float) -> str:
    low, high = (f"{100 * share:.4g}" for share in (lowest, highest))
    return f"{high} %" if low == high else f"{low} to {high} %"
