"""Our server and others, one after the other in rounds, with the same model, batches, drop rule, load generator and machine."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from superserve_cli import profiles, tasks
from superserve_cli.bench.figure import Figure
from superserve_cli.bench.serve import processes
from superserve_cli.bench.serve.goodput import Load, Search, Tried, rate, rung_at_least
from superserve_cli.bench.serve.venvs import Peer, peers, version
from superserve_cli.core.nouns import NS_PER_US, Progress, ms_to_ns
from superserve_cli.errors import SuperserveError
from superserve_cli.profiles import Profile

CACHE: Final = ".cache"
TASK: Final = "glyphs"
"""What the shipped SuperNet has learnt."""
LARGEST_BATCH: Final = 16
BATCH_SIZES: Final = "1,2,4,8,16"
THREADS: Final = 1
OF_PEERS: Final = "m"
SMALL, LARGE = "small", "large"
FIXED: Final = "superserve_fixed"
SLACKFIT: Final = "superserve_slackfit"
TARGET: Final = 5.0
OVERLOAD: Final = 1.5
"""The common overload: so many times what the best of the others meets, so that it is too much for all of them."""


Attempt = Callable[[float], Tried]
"""Tries a rate on the server that runs."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: seconds per rate that is tried, rounds of searches, rounds at the overload rate, rounds of the profile."""

    attempt_s: float = 3.0
    rounds: int = 3
    overload_rounds: int = 3
    profile_rounds: int = 200
    slo_ms: float = 50.0


QUICK: Final = Effort(attempt_s=1.0, rounds=1, overload_rounds=1, profile_rounds=20)


class Arm(NamedTuple):
    """A server to measure: how to start it at a port, and what its model is called."""

    name: str
    command: Callable[[int], list[str]]
    env: dict[str, str]
    model: str


@dataclass
class Measured:
    """What was found of one arm."""

    search: Search = field(default_factory=Search)
    overload: list[Tried] = field(default_factory=list)
    absent: str = ""


def against_peers(folder: Path, progress: Progress, quick: bool = False) -> list[Figure]:
    """Requests met within the SLO per second, ours and those of the servers that a folder describes; see `venvs`.

    Once with a model that takes next to nothing, so that servers are compared, and once with the one that somebody would serve for its
    quality, where all spend their time in the same runtime.
    """
    effort = QUICK if quick else Effort()
    cache = folder.resolve() / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    progress(0, 1, "virtual environments of the peers")
    beside = peers(folder, cache)
    there = [peer for peer in beside if not peer.absent]
    absent = {peer.name: peer.absent for peer in beside if peer.absent}
    progress(0, 1, "profile of the exported subnets")
    path, models = _prepared(cache, effort)
    profile = profiles.load(str(path))
    found, tried = [], {}
    subnets = {SMALL: fastest(profile), LARGE: most_accurate(profile)}
    for number, (size, subnet) in enumerate(subnets.items()):
        arms = _arms(path, profile, subnet, models, there, effort)
        measured = {arm.name: Measured() for arm in arms}
        load = Load(tasks.load(TASK).test, ms_to_ns(effort.slo_ms), effort.attempt_s)
        Rounds(arms, measured, cache, load, _part(progress, number, len(subnets), size), effort).all()
        tried[size] = {name: one.search.as_json() for name, one in measured.items()}
        (cache / "tried.json").write_text(json.dumps(tried, indent=1))
        found += figures(size, measured, absent, {peer.name: version(peer) for peer in there}, profile, subnet)
    return found


def _part(progress: Progress, number: int, parts: int, what: str) -> Progress:
    """The progress of one of several parts that are as long."""
    return lambda done, total, doing: progress(number * total + done, parts * total, f"{what} model, {doing}")


def _prepared(cache: Path, effort: Effort) -> tuple[Path, Path]:
    """The profile, of this run, of the front of the shipped SuperNet as ONNX files; and those."""
    models, profile = cache / "models", cache / "profile.parquet"
    processes.run("export", "--subnets", "pareto", "--out", models, "--overwrite")
    asked = ("--threads", THREADS, "--batch-sizes", BATCH_SIZES, "--rounds", effort.profile_rounds)
    processes.run("profile", models, *asked, "--out", profile, "--overwrite")
    return profile, models


def fastest(profile: Profile) -> str:
    """What takes least from the comparison of servers."""
    return min(profile.subnets, key=lambda subnet: profile.plan_ns(subnet, profile.batch_sizes[-1]))


def most_accurate(profile: Profile) -> str:
    """What somebody would serve for its quality."""
    return max(zip(profile.accuracies, profile.subnets, strict=True), key=lambda one: (one[0] or 0.0, one[1]))[1]


def _arms(path: Path, profile: Profile, subnet: str, models: Path, beside: Sequence[Peer], effort: Effort) -> list[Arm]:
    least_us, name = profile.plan_ns(subnet, 1) // NS_PER_US, str(profile.metadata["supernet"])

    def ours(policy: str) -> Callable[[int], list[str]]:
        asked = ("--policy", policy, "--late", "drop", "--slo-ms", effort.slo_ms, "--threads", THREADS)
        return lambda port: processes.superserve("serve", models, "--profile", path, *asked, "--port", port, "--no-grpc", "--quiet")

    def theirs(peer: Peer) -> Callable[[int], list[str]]:
        said = {"model": models / f"{subnet}.onnx", "threads": THREADS, "max-batch": LARGEST_BATCH, "least-us": least_us}
        options = [text for option, value in said.items() for text in (f"--{option}", str(value))]
        return lambda port: [str(peer.python), str(peer.application), *options, "--port", str(port)]

    return [
        Arm(FIXED, ours(f"fixed:{subnet}"), {}, name),
        Arm(SLACKFIT, ours("slackfit"), {}, name),
        *(Arm(peer.name, theirs(peer), _env(peer), OF_PEERS) for peer in beside),
    ]


def _env(peer: Peer) -> dict[str, str]:
    """The applications share a file that lies beside their folders."""
    return {"PYTHONPATH": str(peer.application.parent.parent.resolve())}


@dataclass
class Rounds:
    """All arms in turn: in each round every one is started, warmed up, measured and ended, and each round begins with another."""

    arms: list[Arm]
    measured: dict[str, Measured]
    cache: Path
    load: Load
    progress: Progress
    effort: Effort
    done: int = 0

    def all(self) -> None:
        """The searches, and then what is met at one common overload."""
        for number in range(self.effort.rounds):
            self._round(number, self._search, "search")
        best = max((median(t.qps for t in one.search.found) for name, one in self._beside() if one.search.found), default=0.0)
        if best:
            rung = rung_at_least(OVERLOAD * best)
            for number in range(self.effort.overload_rounds):
                self._round(number, lambda arm, attempt: self._overload(arm, attempt, rung), "overload")

    @property
    def _visits(self) -> int:
        return len(self.arms) * (self.effort.rounds + self.effort.overload_rounds)

    def _beside(self) -> list[tuple[str, Measured]]:
        return [(name, one) for name, one in self.measured.items() if name not in (FIXED, SLACKFIT)]

    def _round(self, number: int, work: Callable[[Arm, Attempt], None], what: str) -> None:
        at = number % len(self.arms)
        for arm in self.arms[at:] + self.arms[:at]:
            self.progress(self.done, self._visits, f"{what}: {arm.name}")
            self.done += 1
            self._visit(arm, number, work)
        self.progress(self.done, self._visits, "")

    def _visit(self, arm: Arm, number: int, work: Callable[[Arm, Attempt], None]) -> None:
        measured = self.measured[arm.name]
        if measured.absent:
            return
        port = processes.free_port()
        url, log = f"http://127.0.0.1:{port}", (self.cache / f"{arm.name}.log").resolve()
        try:
            with tempfile.TemporaryDirectory(prefix="bench_") as own:
                env = arm.env | {"HOME": own, "TMPDIR": own, "RAY_TMPDIR": own}  # what a server leaves behind goes with it
                with processes.running(arm.command(port), url, log, env, model=arm.model) as server:
                    self.load.warm(url, arm.model)
                    work(arm, lambda qps: self.load.at(qps, number, url, arm.model, server.cpu_s))
        except SuperserveError as error:
            measured.absent = str(error)

    def _search(self, arm: Arm, attempt: Attempt) -> None:
        self.measured[arm.name].search.round(attempt)

    def _overload(self, arm: Arm, attempt: Attempt, rung: int) -> None:
        self.measured[arm.name].overload.append(attempt(rate(rung)))


def figures(
    size: str, measured: dict[str, Measured], absent: dict[str, str], installed: dict[str, str], profile: Profile, subnet: str
) -> list[Figure]:
    """Goodput of each arm with the model of one size, and ours over each of theirs; `absent` are those that could not be installed."""
    arms = {**measured, **{name: Measured(absent=why) for name, why in absent.items()}}
    goodput = {name: _median([tried.qps for tried in one.search.found]) for name, one in arms.items()}
    met = {name: _median([tried.met_per_s for tried in one.overload]) for name, one in arms.items()}
    alone_us = profile.plan_ns(subnet, profile.batch_sizes[-1]) / profile.batch_sizes[-1] / NS_PER_US
    rows = [Figure("compute_us", f"{size} model, {subnet}: planned inference per request in the largest batch", alone_us, "us")]
    rows += [_goodput(name, one, goodput[name], installed.get(name, ""), subnet) for name, one in arms.items()]
    rows.append(_ratio("scheduling_gain", "goodput, all subnets (SlackFit) / one subnet", goodput[SLACKFIT], goodput[FIXED]))
    for name in (name for name in arms if name not in (FIXED, SLACKFIT)):
        why = arms[name].absent
        key = name.replace("-", "_")
        rows += [
            _ratio(f"goodput_ratio_{key}", f"goodput, ours on one subnet / {name}", goodput[FIXED], goodput[name], TARGET, why),
            _ratio(f"goodput_ratio_slackfit_{key}", "... ours on all subnets (SlackFit)", goodput[SLACKFIT], goodput[name], None, why),
        ]
    offered = [tried.qps for one in arms.values() for tried in one.overload][:1]
    rows += [
        Figure(f"overload_met_{name.replace('-', '_')}", f"{name}: met at {offered[0]:,.0f}/s offered", met[name], "/s", note=one.absent)
        for name, one in arms.items()
        if offered
    ]
    rows += [figure for name, one in arms.items() if one.search.found for figure in _at_goodput(name, one.search.found)]
    lag = [tried.lag_p99_ms for one in arms.values() for tried in one.search.found]
    rows.append(Figure("generator_lag_ms", "how late the load generator was at these rates, p99, the worst", max(lag, default=None), "ms"))
    return [replace(row, key=f"{size}_{row.key}") for row in rows]


def _goodput(name: str, one: Measured, qps: float | None, installed: str, subnet: str) -> Figure:
    about = installed or ("all subnets" if name == SLACKFIT else subnet)
    what = f"{name} ({about}): requests/s with 99 % in time"
    return Figure(f"goodput_{name.replace('-', '_')}", what, qps, "/s", note=one.absent)


def _ratio(key: str, what: str, ours: float | None, theirs: float | None, target: float | None = None, absent: str = "") -> Figure:
    known = ours / theirs if ours is not None and theirs else None
    return Figure(key, what, known, "x", target, at_least=True, note=absent or "nothing to compare with")


def _at_goodput(name: str, found: Sequence[Tried]) -> list[Figure]:
    key, held = name.replace("-", "_"), [tried for tried in found if tried.qps]
    accuracy = _median([100 * tried.accuracy for tried in held])
    return [
        Figure(
            f"cpu_us_{key}", f"{name}: CPU per request at its goodput, all its processes", _median([tried.cpu_us for tried in held]), "us"
        ),
        Figure(f"accuracy_{key}", f"{name}: right answers at its goodput", accuracy, "%"),
    ]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
