"""What `superserve bench serve` is made of: searches, peers, processes, and the simulation that the live server is compared with."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from superserve_cli.app import run
from superserve_cli.bench.serve import processes, venvs
from superserve_cli.bench.serve.foretold import NOTHING, Overheads, capacity, distance, foretold, mean_ns, real
from superserve_cli.bench.serve.goodput import STEP, Search, Tried, rate, rung_at_least
from superserve_cli.bench.serve.peers import FIXED, SLACKFIT, Measured, fastest, figures, most_accurate
from superserve_cli.core.nouns import NS_PER_MS, ms_to_ns
from superserve_cli.errors import BadFile, Unreachable
from superserve_cli.profiles import Profile
from superserve_cli.profiles.profile import LEVELS
from superserve_cli.serving.workers.sleep import SleepWorker, sleep_exactly
from superserve_cli.traces import load

PEERS = Path(__file__).parents[2] / "bench" / "peers"
SPREAD = np.array([0.8, 0.9, 1.0, 1.1, 1.3, 1.5])
"""Each quantile over the median."""
MEDIANS_MS = np.array([[4.0, 10.0], [8.0, 30.0]])


def profile() -> Profile:
    quantiles = np.round(MEDIANS_MS[..., None] * SPREAD * NS_PER_MS).astype(np.int64)
    plan = tuple(tuple(int(ns) for ns in row) for row in quantiles[..., -1])
    return Profile(("small", "large"), (1, 8), plan, (0.8, 0.9), quantiles)


def tried(qps: float, attainment: float) -> Tried:
    return Tried(qps, attainment, qps * attainment, 0.9, 5.0, 0.1, [])


def carries(most: float) -> Search:
    """Three rounds of a search for a server that carries so many requests per second."""
    search = Search()
    for _ in range(3):
        search.round(lambda qps: tried(qps, 1.0 if qps <= most else 0.5))
    return search


@pytest.mark.parametrize("most", [60.0, 700.0, 9000.0])
def test_a_search_finds_the_highest_rung_that_holds(most: float) -> None:
    for found in carries(most).found:
        assert found.qps <= most < found.qps * STEP


def test_later_rounds_try_little_beyond_what_the_first_has_found() -> None:
    search = Search()
    search.round(lambda qps: tried(qps, 1.0 if qps <= 3000 else 0.5))
    first = len(search.tried)
    search.round(lambda qps: tried(qps, 1.0 if qps <= 3000 else 0.5))
    assert len(search.tried) - first == 3  # the one that holds, and the next one twice


def test_a_rung_that_failed_once_is_tried_again() -> None:
    seen: set[float] = set()

    def attempt(qps: float) -> Tried:
        first = qps not in seen
        seen.add(qps)
        return tried(qps, 0.9 if first or qps > 2000 else 1.0)

    search = Search()
    search.round(attempt)
    assert search.found[0].qps == rate(rung_at_least(2000) - 1)


def test_a_server_that_carries_nothing_has_a_goodput_of_nothing() -> None:
    assert [found.qps for found in carries(1.0).found] == [0.0, 0.0, 0.0]


def test_what_the_router_gains_and_what_scheduling_gains_are_told_apart() -> None:
    measured = {FIXED: Measured(carries(6000)), SLACKFIT: Measured(carries(9000)), "other": Measured(carries(1000))}
    found = figures("large", measured, {"gone": "not installed: no wheel"}, {"other": "other 1.0"}, profile(), "large")
    by_key = {figure.key: figure for figure in found}
    assert by_key["large_goodput_ratio_other"].value == pytest.approx(6, rel=0.1)
    assert by_key["large_scheduling_gain"].value == pytest.approx(1.5, rel=0.1)
    assert by_key["large_goodput_ratio_other"].verdict == "met"
    assert by_key["large_goodput_gone"].row()[1] == by_key["large_goodput_ratio_gone"].row()[1] == "absent (not installed: no wheel)"


def test_all_serve_the_fastest_subnet_and_then_the_most_accurate_one() -> None:
    assert fastest(profile()) == "small"
    assert most_accurate(profile()) == "large"


# peers


def test_every_peer_of_the_repository_pins_what_it_installs() -> None:
    for path in PEERS.glob(f"*/{venvs.REQUIREMENTS}"):
        assert (path.parent / venvs.APPLICATION).exists()
        assert all("==" in line for line in path.read_text().splitlines())


def test_a_folder_without_peers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="holds no"):
        venvs.peers(tmp_path, tmp_path)


def test_a_peer_that_cannot_be_installed_is_absent_and_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "peers" / "broken"
    folder.mkdir(parents=True)
    (folder / venvs.APPLICATION).touch()
    (folder / venvs.REQUIREMENTS).write_text("./nowhere\n")
    (peer,) = venvs.peers(tmp_path / "peers", tmp_path / "cache")
    assert peer.name == "broken"
    assert "nowhere" in peer.absent


def test_bench_peers_needs_their_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "peers"]) == 2
    assert "--peers bench/peers" in capsys.readouterr().err


def test_options_of_other_benchmarks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "decide", "--quick"]) == 2
    assert "bench decide takes no --quick" in capsys.readouterr().err


# processes

STUB = """
import http.server, json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
SAID = {"/v2": {"name": "stub"}, "/v2/health/ready": {}, "/v2/models/m": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}}
class Stub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = SAID.get(self.path)
        body = json.dumps(said).encode()
        self.send_response(200 if said is not None else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Stub).serve_forever()
"""


def runs(pid: int) -> bool:
    """Whether a process is there, and more than an entry that nobody has read yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    port, log = processes.free_port(), tmp_path / "log"
    with processes.running([sys.executable, "-c", STUB, str(port)], f"http://127.0.0.1:{port}", log, model="m") as server:
        pid, child = server.pid, int(log.read_text().split()[0])
        assert server.cpu_s() > 0
        assert runs(pid)
        assert runs(child)
    assert not runs(pid)
    assert not runs(child)


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such model')"]
    url = f"http://127.0.0.1:{processes.free_port()}"
    with pytest.raises(Unreachable, match="no such model"), processes.running(command, url, tmp_path / "log", model="m"):
        pass


# fidelity


def test_capacity_is_what_the_mean_service_time_allows() -> None:
    uniform = np.random.default_rng(0).random(100_000)
    drawn_ms = np.interp(uniform, LEVELS, MEDIANS_MS[0, 1] * SPREAD)
    assert mean_ns(profile())[0, 1] / NS_PER_MS == pytest.approx(drawn_ms.mean(), rel=0.01)
    assert capacity(profile()) == pytest.approx(8e3 / drawn_ms.mean(), rel=0.01)


def test_planning_knows_of_the_hand_over_and_not_of_the_slow_down() -> None:
    served = real(profile(), Overheads(handover_ns=1000, wire_ns=5, slowdown=1.5))
    assert served.plan_ns("small", 1) == profile().plan_ns("small", 1) + 1000
    assert served.quantiles_ns is not None
    assert served.quantiles_ns[0, 0, 2] == ms_to_ns(4.0 * 1.5) + 1000
    assert foretold(load("poisson", qps=300, duration_s=2, seed=0), real(profile(), NOTHING), ms_to_ns(60), NOTHING, 0).attainment > 0.9


def test_what_comes_late_over_the_wire_is_not_met() -> None:
    offered = load("poisson", qps=0.9 * capacity(profile()), duration_s=5, seed=0)
    bare, wired, slow = (
        foretold(offered, profile(), ms_to_ns(60), overheads, 0).attainment
        for overheads in (NOTHING, Overheads(wire_ns=ms_to_ns(20)), Overheads(slowdown=1.3))
    )
    assert wired < bare
    assert slow < bare


def test_mixes_are_as_far_apart_as_what_they_do_not_share() -> None:
    assert distance({"a": 0.5, "b": 0.5}, {"a": 0.5, "c": 0.5}) == pytest.approx(0.5)
    assert distance({"a": 1.0}, {"a": 1.0}) == 0


def test_a_sleeper_takes_times_drawn_from_the_profile() -> None:
    slept: list[float] = []
    worker = SleepWorker(profile(), sleep=slept.append, seed=0)
    for _ in range(2000):
        worker.infer("small", np.zeros((3, 1), np.float32))
    assert np.mean(slept) == pytest.approx(mean_ns(profile())[0, 1] / 1e9, rel=0.02)
    assert min(slept) >= 0.008
    assert max(slept) <= 0.015


def test_a_sleeper_does_not_wake_early() -> None:
    begun = time.monotonic()
    sleep_exactly(0.002)
    assert time.monotonic() - begun >= 0.002
