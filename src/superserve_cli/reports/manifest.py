"""The manifest of a run: everything that a reader must know to judge its figures, or to run it again."""

from typing import Any

from superserve_cli import traces
from superserve_cli.core import provenance
from superserve_cli.core.nouns import NS_PER_S, NS_PER_US
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.reports.run import SCHEMA
from superserve_cli.traces import Trace


def simulated(
    trace: Trace,
    profile: Profile,
    policy: Policy,
    *,
    workers: int,
    slo_ns: int,
    late: str,
    service: str,
    seed: int,
    utility_bound: float | None = None,
) -> dict[str, Any]:
    """The manifest of a simulated run; its hardware is the profile's, for the machine that simulates leaves no trace in it.

    `utility_bound` is the utility that no scheduler can pass on this trace, None where it is unknown.
    """
    return {
        **_common(trace, slo_ns),
        "kind": "simulated",
        "policy": policy.name,
        "late": late,
        "service": service,
        "workers": workers,
        "seed": seed,
        "load": _offered_rows(trace) / profile.sustained_qps(workers),
        "utility_bound": utility_bound,
        "profile": {
            **{key: profile.metadata.get(key) for key in ("name", "hash", "supernet", "device")},
            "subnets": list(profile.subnets),
            "best_accuracy": _best_accuracy(policy, profile, workers, slo_ns),
        },
        "hardware": {key: profile.metadata.get(key) for key in ("device", "device_name", "threads", "dtype", "backend")},
        "versions": provenance.versions(),
        "target": None,
        "valid": True,
        "problems": [],
    }


def live(
    trace: Trace, server: dict[str, Any], *, slo_ns: int, seed: int, problems: list[str], lag_p99_ns: int, idle_lag_ns: int
) -> dict[str, Any]:
    """The manifest of a run against a live server, from what the server says of itself."""
    sustained_qps = server.get("sustained_qps")
    return {
        **_common(trace, slo_ns),
        **_of_server(server),
        "seed": seed,
        "load": _offered_rows(trace) / sustained_qps if sustained_qps else None,
        "versions": {**(server.get("versions") or {"server": server.get("server")}), **provenance.versions()},
        "target": server.get("url"),
        "valid": not problems,
        "problems": problems,
        "lag_p99_ns": lag_p99_ns,
        "idle_lag_p99_ns": idle_lag_ns,
    }


def served(server: dict[str, Any], outcomes: Outcomes, url: str) -> dict[str, Any]:
    """The manifest of a server's own run: its trace is whatever its clients sent."""
    duration_s = float(outcomes.ended_ns.max() - outcomes.arrival_ns.min()) / NS_PER_S
    return {
        **_now(server["slo_us"] * NS_PER_US),
        **_of_server(server),
        "seed": None,
        "load": None,
        "offered_qps": len(outcomes) / duration_s if duration_s else None,
        "duration_s": duration_s,
        "trace": {"source": f"clients of {url}", "hash": None, "requests": len(outcomes), "synthetic": False},
        "versions": server["versions"],
        "target": None,
        "valid": True,
        "problems": [],
    }


def _of_server(server: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "live",
        "policy": server.get("policy"),
        "late": server.get("late"),
        "service": None,
        "utility_bound": None,
        "workers": server.get("workers"),
        "profile": {
            "name": server.get("profile"),
            "hash": server.get("profile_hash"),
            "supernet": server.get("supernet"),
            "device": server.get("profile_device"),
            "subnets": [entry["id"] for entry in server.get("subnets", [])],
            "best_accuracy": max((entry["accuracy"] for entry in server.get("subnets", []) if entry["accuracy"] is not None), default=None),
        },
        "hardware": server.get("hardware") or {},
    }


def server_slo_ns(server: dict[str, Any]) -> int | None:
    """The SLO that a server gives to requests without one, if it says so."""
    return server["slo_us"] * NS_PER_US if server.get("slo_us") else None


def _now(slo_ns: int) -> dict[str, Any]:
    return {"schema": SCHEMA, "created": provenance.created(), "command": provenance.command(), "slo_ns": slo_ns}


def _common(trace: Trace, slo_ns: int) -> dict[str, Any]:
    return {
        **_now(slo_ns),
        "offered_qps": _offered_qps(trace),
        "duration_s": trace.duration_ns / NS_PER_S,
        "trace": {
            **trace.metadata,
            "source": trace.source,
            "hash": traces.content_hash(trace),
            "requests": len(trace),
            "synthetic": trace.synthetic,
        },
    }


def _offered_qps(trace: Trace) -> float:
    return len(trace) * NS_PER_S / trace.duration_ns


def _offered_rows(trace: Trace) -> float:
    """Rows per second, as what workers sustain is counted."""
    return trace.rows * NS_PER_S / trace.duration_ns


def _best_accuracy(policy: Policy, profile: Profile, workers: int, slo_ns: int) -> float | None:
    """The highest accuracy floor for which the policy always has a subnet, whatever its control does."""
    modes = policy.controlled(profile, workers, slo_ns).modes
    for floor in sorted({a for a in profile.accuracies if a is not None}, reverse=True):
        able = profile.only([s for s, a in zip(profile.subnets, profile.accuracies, strict=True) if a is not None and a >= floor])
        if all(mode.restrict(able).subnets for mode in modes):
            return floor
    return None
