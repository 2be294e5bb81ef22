"""What was run, from the manifest, in words."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.reports import notation
from superserve_cli.reports.notes import bound
from superserve_cli.reports.run import Run

LATE: Final = {
    "drop": "drop (a request without a choice is dropped)",
    "shed": "shed (as drop, and the head is dropped when the queue outgrows the workers)",
    "serve": "serve (a request without a choice still runs, on the fastest subnet)",
}
SERVICE: Final = {"fixed": "fixed (as planned)", "measured": "measured (drawn from the profile's quantiles)"}


def facts(run: Run) -> list[tuple[str, str]]:
    """What a reader must know to judge the figures: (name, value), unknown ones left out."""
    return [(name, value) for name, value in _facts(run) if value]


def common(runs: list[Run]) -> list[tuple[str, str]]:
    """The facts that all runs share."""
    first, *others = [facts(run) for run in runs]
    return [fact for fact in first if all(fact in other for other in others)]


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    manifest = run.manifest
    yield "Policy", str(manifest.get("policy") or "")
    yield "Kind", _kind(manifest)
    yield "Trace", _trace(manifest.get("trace") or {})
    yield "Load", _load(manifest)
    yield "SLO", slo(run)
    yield "Late rule", LATE.get(str(manifest.get("late")), str(manifest.get("late") or ""))
    yield "Service", SERVICE.get(str(manifest.get("service")), str(manifest.get("service") or ""))
    yield "Bound on utility", bound(run)
    yield "Workers", str(manifest.get("workers") or "")
    yield "Profile", _profile(manifest.get("profile") or {})
    yield "Seed", "" if manifest.get("seed") is None else str(manifest["seed"])
    yield "Hardware", _pairs(manifest.get("hardware"))
    yield "Versions", _pairs(manifest.get("versions"))
    yield "Command", " ".join(map(str, manifest.get("command") or []))
    yield "Created", str(manifest.get("created") or "")


def _kind(manifest: Mapping[str, Any]) -> str:
    target = f" against {manifest['target']}" if manifest.get("target") else ""
    return f"{manifest.get('kind') or 'unknown'}{target}"


def _trace(trace: Mapping[str, Any]) -> str:
    synthetic = "SYNTHETIC, " if trace.get("synthetic") else ""
    requests = f"{notation.count(trace['requests'])} requests" if trace.get("requests") else ""
    return ", ".join(filter(None, (str(trace.get("source") or ""), f"{synthetic}{requests}", _hash(trace))))


def _load(manifest: Mapping[str, Any]) -> str:
    """Offered rate, and what it is relative to the rate that the median served subnet sustains."""
    rate = manifest.get("offered_qps")
    parts = [f"{rate:,.1f} requests/s" if rate else ""]
    if manifest.get("load"):
        parts.append(f"{manifest['load']:.3g} of what the median served subnet sustains")
    if manifest.get("duration_s"):
        parts.append(f"for {manifest['duration_s']:,.6g} s")
    return ", ".join(filter(None, parts))


def slo(run: Run) -> str:
    """The SLO, or its range where requests have their own."""
    low, high = (round(ms, 2) for ms in slo_range_ms(run.outcomes))
    return f"{low:g} ms" if low == high else f"{low:g}–{high:g} ms, set by the requests"


def slo_range_ms(outcomes: Outcomes) -> tuple[float, float]:
    """The smallest and the largest time that requests were given, in ms."""
    given = given_ms(outcomes)
    return float(given.min()), float(given.max())


def given_ms(outcomes: Outcomes) -> NDArray[np.float64]:
    """The SLO of every request: from its intended arrival to its deadline."""
    given: NDArray[np.float64] = (outcomes.deadline_ns - outcomes.arrival_ns) / NS_PER_MS
    return given


def _profile(profile: Mapping[str, Any]) -> str:
    supernet = f"SuperNet {profile['supernet']}" if profile.get("supernet") else ""
    device = f"on {profile['device']}" if profile.get("device") else ""
    return ", ".join(filter(None, (str(profile.get("name") or ""), supernet, device, _hash(profile))))


def _hash(part: Mapping[str, Any]) -> str:
    return f"hash {str(part['hash'])[:12]}" if part.get("hash") else ""


def _pairs(values: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items() if value is not None)
