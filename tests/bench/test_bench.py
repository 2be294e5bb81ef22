import json

import pytest

from superserve_cli import bench
from superserve_cli.app import run
from superserve_cli.bench import in_simpy
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.serve.front import SIZES, Seen, measure, server
from superserve_cli.bench.simulate import SLO_NS
from superserve_cli.bench.workload import WORKERS, profile, trace
from superserve_cli.core.nouns import silent
from superserve_cli.core.outcomes import MET
from superserve_cli.engine.simulator import simulate
from superserve_cli.policies import named


@pytest.mark.parametrize("load", [0.1, 0.9, 3.0])
def test_simpy_does_the_same_work(load: float) -> None:
    arrived = trace(3000, load)
    ours = simulate(arrived, profile(), named("slackfit"), workers=WORKERS, slo_ns=SLO_NS, late="drop")
    assert in_simpy.simulate(arrived, profile(), named("slackfit"), WORKERS, SLO_NS) == (ours.status == MET).sum()


def test_a_figure_is_held_to_its_target_from_the_right_side() -> None:
    assert Figure("k", "speed", 9.0, "/s", 8.0, at_least=True).verdict == "met"
    assert Figure("k", "speed", 7.0, "/s", 8.0, at_least=True).verdict == "missed"
    assert Figure("k", "time", 7.0, "us", 5.0).verdict == "missed"
    assert Figure("k", "peer", None, "/s", note="not installed").row() == ("peer", "absent (not installed)", "", "")


def test_figures_are_json_by_key_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "decide", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["lookup_us"] > 0
    assert figures["machine"]["cores"] >= 1


def test_a_hand_off_and_its_copy_alone_are_both_timed() -> None:
    figures = {figure.key: figure.value for figure in bench.named("handoff")(silent)}
    assert (figures["handoff_us_p50"] or 0) > 0
    assert (figures["gather_us_p50"] or 0) > 0


def test_a_server_around_a_model_that_takes_no_time_is_measured_from_outside() -> None:
    seen = Seen()
    with server(SIZES["150kb"]) as running:
        measure(running, SIZES["150kb"], seen, seconds=0.2)
    assert seen.cpu_us[0] > 0
    assert 0 < seen.p50_ms[0] <= seen.p99_ms[0]
    assert seen.timer_p99_ms[0] > 0


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "simulat"]) == 2
    assert "did you mean simulate" in capsys.readouterr().err
    assert {*bench.BENCHMARKS, bench.SUBNETACT, *bench.OF_SERVER, bench.HEADLINE, bench.FAULTS} == {
        "simulate",
        "decide",
        "actuate",
        "subnetact",
        "start",
        "front",
        "handoff",
        "rpc",
        "serve",
        "fidelity",
        "peers",
        "load",
        "headline",
        "faults",
    }
