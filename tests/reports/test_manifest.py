import numpy as np

from superserve_cli import policies, profiles, traces
from superserve_cli.reports import manifest
from superserve_cli.traces import Trace
from tests.reports.runs import Req, outcomes

SERVER = {
    "policy": "max-batch",
    "late": "drop",
    "workers": 2,
    "slo_us": 36_000,
    "profile": "cpu",
    "profile_hash": "p",
    "supernet": "net",
    "profile_device": "cpu",
    "subnets": [{"id": "small", "accuracy": 0.8}],
    "versions": {"superserve": "1"},
    "sustained_qps": 20.0,
}
TRACE = Trace(np.arange(0, 1_000_000_000, 100_000_000), source="poisson", metadata={"synthetic": True, "duration_s": 1.0})


def test_the_manifest_of_a_server_counts_what_its_clients_sent() -> None:
    sent = outcomes(*(Req(at_ms=100.0 * i, latency_ms=0) for i in range(11)))
    told = manifest.served(SERVER, sent, "http://here")
    assert (told["kind"], told["duration_s"], told["offered_qps"], told["slo_ns"]) == ("live", 1.0, 11.0, 36_000_000)
    assert told["trace"] == {"source": "clients of http://here", "hash": None, "requests": 11, "synthetic": False}
    assert told["profile"] == {"name": "cpu", "hash": "p", "supernet": "net", "device": "cpu", "subnets": ["small"], "best_accuracy": 0.8}


def test_a_live_run_takes_policy_and_load_from_its_server() -> None:
    told = manifest.live(TRACE, {**SERVER, "url": "http://here"}, slo_ns=5, seed=3, problems=["late"], lag_p99_ns=1, idle_lag_ns=1)
    assert (told["policy"], told["load"], told["target"], told["valid"], told["slo_ns"]) == ("max-batch", 0.5, "http://here", False, 5)
    assert told["trace"]["hash"] == traces.content_hash(TRACE)
    assert told["utility_bound"] is None


def test_simulated_hardware_is_that_of_the_profile() -> None:
    served = profiles.load("modelled")
    told = manifest.simulated(
        TRACE, served, policies.named("slackfit"), workers=8, slo_ns=5, late="drop", service="fixed", seed=0, utility_bound=0.8
    )
    assert told["utility_bound"] == 0.8
    assert told["hardware"]["device"] == served.metadata["device"]
    assert told["load"] == 10 / served.sustained_qps(8)
    assert told["profile"]["subnets"] == list(served.subnets)
