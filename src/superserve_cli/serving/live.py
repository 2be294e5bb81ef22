"""`/live`: how a server is doing and what it serves, for its own page and `superserve top`. They ask each second for what is new."""

import json
from collections.abc import Mapping
from typing import Any, Final

from superserve_cli.serving.desk import Desk
from superserve_cli.serving.exchange import Exchange
from superserve_cli.serving.worker_metrics import AS_PLANNED, WorkerMetrics

SAID: Final = ("policy", "late", "slo_us", "profile", "profile_device", "workers", "threads", "sustained_qps", "hardware")
"""Of what a server says of its model, what people want to see."""
DIGITS: Final = 12
NOT_KEPT: Final = "Cache-Control: no-store\r\n"


def answer(desk: Desk, exchange: Exchange, names: tuple[str, ...]) -> None:
    """The samples after the number that the path ends with, all where it names none, and the present state of all else."""
    since = int(names[0][:DIGITS]) if names else 0
    exchange.respond(200, document(desk, since).encode(), headers=NOT_KEPT)


def document(desk: Desk, since: int) -> str:
    """That answer's JSON; samples were made to JSON when they were taken, so that asking for all of them takes no time."""
    server, history = desk.server(), desk.history
    state = {
        "server": {"name": server["name"], "version": server["version"]},
        "started_unix_s": desk.started_unix_s,
        "unready": desk.unready,
        "serving": _serving(desk),
        "workers": _workers(desk.metrics.workers),
        "last": history.last,
    }
    return f'{json.dumps(state)[:-1]}, "samples": [{", ".join(history.since(since))}]}}'


def _serving(desk: Desk) -> dict[str, Any] | None:
    """What is served, of the model that has a policy; None before the workers have said what they have."""
    for model in desk.models.values():
        metadata = model.metadata()
        said: Mapping[str, Any] = metadata.get("parameters") or {}
        if "policy" in said:
            subnets = _those_that_ran(desk, said.get("subnets") or ())
            return {"model": model.name, "inputs": metadata["inputs"], **{name: said.get(name) for name in SAID}, "subnets": subnets}
    return None


def _those_that_ran(desk: Desk, subnets: Any) -> list[dict[str, Any]]:
    """Thousands may be served, and the policy has use for few; those of before a swap are among them, of unknown accuracy."""
    accuracies = {subnet["id"]: subnet["accuracy"] for subnet in subnets}
    return [{"id": subnet, "accuracy": accuracies.get(subnet)} for subnet in sorted({subnet for subnet, _ in desk.metrics.dispatches})]


def _workers(workers: WorkerMetrics) -> list[dict[str, Any]]:
    losses = dict.fromkeys(workers.up, 0)
    for (worker, _), count in workers.losses.items():
        losses[worker] += count
    return [
        {
            "worker": worker,
            "up": workers.up[worker],
            "restarts": workers.restarts[worker],
            "losses": losses[worker],
            "last_loss": workers.last_reason.get(worker),
            "batches": workers.batches[worker],
            "plan_scale": workers.scale.get(worker, AS_PLANNED),
        }
        for worker in sorted(workers.up)
    ]
