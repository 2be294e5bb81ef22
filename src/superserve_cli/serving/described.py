"""What a server says of itself: to its clients, and as warnings when profile and workers do not match."""

import os
import platform
from collections.abc import Iterator
from typing import Any

from superserve_cli.core import provenance
from superserve_cli.core.nouns import NS_PER_US
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile
from superserve_cli.serving.model import Hello


def parameters(hello: Hello, profile: Profile, policy: Policy, late: str, workers: int, slo_ns: int) -> dict[str, Any]:
    """The `parameters` of the model's metadata: all that a load generator needs to write an honest report."""
    model, hardware = hello.model, dict(hello.hardware)
    versions = hardware.pop("versions", {})
    return {
        "task": model.task,
        "seed": model.seed,
        "supernet": model.name,
        "supernet_hash": model.hash,
        "profile": profile.metadata.get("name") or profile.metadata.get("source"),
        "profile_hash": profile.metadata.get("hash"),
        "profile_device": profile.metadata.get("device"),
        "policy": policy.name,
        "late": late,
        "workers": workers,
        "slo_us": slo_ns // NS_PER_US,
        "sustained_qps": profile.sustained_qps(workers),
        "subnets": [{"id": s, "accuracy": a} for s, a in zip(profile.subnets, profile.accuracies, strict=True)],
        "batch_sizes": list(profile.batch_sizes),
        "versions": {**provenance.versions(), **versions},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), **hardware},
        "threads": hardware.get("threads"),
    }


def mismatches(profile: Profile, hello: Hello) -> Iterator[str]:
    """Why the profile may not foretell what these workers do, a sentence each."""
    known = profile.metadata
    if (hash := known.get("supernet_hash")) is not None and hash != hello.model.hash:
        yield "the profile was measured on another SuperNet, or on other weights: its latencies and accuracies may not hold"
    for what in ("device", "device_name", "threads", "dtype", "backend"):
        measured, here = known.get(what), hello.hardware.get(what)
        if measured is not None and here is not None and measured != here:
            yield f"the profile was measured with {what.replace('_', ' ')} {measured}, this worker has {here}: its latencies may not hold"
