from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superserve_cli.commands.options import (
    DEFAULT_WORKERS,
    LOAD,
    MixOption,
    PolicyOption,
    ProfileOption,
    ServiceOption,
    SloOption,
    SubnetsOption,
)

if TYPE_CHECKING:
    from superserve_cli.profiles import Profile
    from superserve_cli.reports import Run
    from superserve_cli.serving.load import LiveRun
    from superserve_cli.tasks import Split
    from superserve_cli.traces import Trace

TRACE = "azure (synthetic), azure:FILE, poisson, bursty, time-varying, file:PATH; see `superserve list traces`."
TARGET = (
    "Send the trace to this server, open-loop, instead of simulating: http(s)://HOST:PORT[/v2/models/NAME], grpc(s)://HOST:PORT[/NAME]."
)
DEFAULT_LOAD = 0.9
BEST, MOST_TENANTS = 3, 10
"""Of how many of the best policies the terminal shows tenants, and how many of each; the report has more."""


def replay(
    trace: Annotated[str, typer.Option(help=TRACE, show_default=False)],
    profile: ProfileOption = None,
    policy: PolicyOption = None,
    workers: Annotated[int | None, typer.Option(help="How many workers.", show_default=str(DEFAULT_WORKERS))] = None,
    slo_ms: SloOption = None,
    late: Annotated[
        str | None, typer.Option(help="What becomes of requests that no choice can meet: drop, shed, serve.", show_default="shed")
    ] = None,
    service: ServiceOption = None,
    subnets: SubnetsOption = None,
    load: Annotated[float | None, typer.Option(help=LOAD, show_default=False)] = None,
    mean_qps: Annotated[float | None, typer.Option(help="Offered requests per second, instead of --load.", show_default=False)] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of trace to generate.", show_default="60")] = None,
    mix: MixOption = None,
    seed: Annotated[int | None, typer.Option(help="What trace and service times are drawn from.", show_default="0")] = None,
    target: Annotated[str | None, typer.Option(metavar="URL", help=TARGET, show_default=False)] = None,
    wait: Annotated[float, typer.Option(help="With --target: seconds to wait for the server to be ready.", min=0)] = 0.0,
    inputs: Annotated[
        Path | None, typer.Option(help="With --target: rows to send, FILE.npy, or FILE.npz by the inputs' names.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="With --target: how many processes send.", show_default="as many as the rate needs", min=1)
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="With --target: sent as Authorization: Bearer KEY.", envvar="SUPERSERVE_API_KEY", show_default=False),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="With --target: a PEM file of authorities to trust (https, grpcs).", show_default=False)
    ] = None,
    insecure_tls: Annotated[bool, typer.Option("--insecure-tls", help="With --target: trust any certificate.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where the run goes.", show_default="runs/<trace>-<n>")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay a trace, simulated or against a live server, and report who met the deadline.

    With --target, the server decides: --policy, --profile, --workers, --late, --service and --subnets are then an error. Such a run
    is not valid when requests went out late (lag p99 above 5 ms and above 10 % of the SLO), when more than 1 % of them failed, or when
    the server went away; it is written all the same, and the exit code is 4.
    """
    from superserve_cli import console, reports
    from superserve_cli.errors import BadOption, Inconclusive

    _refuse_both({"--load": load, "--mean-qps": mean_qps})
    asked = {"qps": mean_qps, "load": load, "duration_s": duration, "seed": seed, "slo_ms": slo_ms, "mix": mix}
    folder = out or _next_folder(trace)
    decided = {"--policy": policy, "--profile": profile, "--workers": workers, "--late": late, "--service": service, "--subnets": subnets}
    if target is not None and (given := [option for option, value in decided.items() if value is not None]):
        raise BadOption(f"{', '.join(given)} cannot go with --target: the server decides", hint=f"leave {', '.join(given)} out")
    sent = {"--wait": wait or None, "--inputs": inputs, "--processes": processes, "--ca": ca, "--insecure-tls": insecure_tls or None}
    if target is None and (given := [option for option, value in sent.items() if value is not None]):
        raise BadOption(f"{', '.join(given)} can only go with --target", hint=f"leave {', '.join(given)} out")
    rules = {"workers": DEFAULT_WORKERS if workers is None else workers, "late": late or "shed", "service": service}
    with _no_empty_folder(folder):
        claim = partial(reports.claim_folder, folder, overwrite)
        if target is None:
            runs = _simulated(trace, asked, profile, policy, subnets, rules, claim)
        else:
            runs = [_live(target, wait, (api_key, ca, insecure_tls), inputs, processes, trace, asked, claim)]
        summary = _write(folder, runs)
    policies = summary.get("policies", [summary])
    if json:
        console.as_json(summary)
    else:
        console.table("", reports.NARROW, reports.narrow_rows(policies), caption="\n".join(summary.get("notes", [])))
        if tenants := reports.tenant_rows(policies[:BEST], MOST_TENANTS):
            console.table("", reports.TENANTS, tenants, labels=2)
    for sentence in reports.rejected(runs):
        console.warn(sentence)
    console.note(f"report: {folder / 'report.html'}")
    if problems := [problem for run in runs for problem in run.manifest["problems"]]:
        raise Inconclusive(f"this run is not valid: {'; '.join(problems)}", hint="its figures prove nothing")


@contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    """A replay that ends before it has written anything leaves no folder behind that was not there before."""
    was_there = folder.exists()
    try:
        yield
    except BaseException:
        if not was_there:
            with suppress(OSError):  # what is not empty stays
                folder.rmdir()
        raise


def _simulated(
    name: str,
    asked: dict[str, Any],
    profile: str | None,
    policy: list[str] | None,
    subnets: str | None,
    rules: dict[str, Any],
    claim: Callable[[], None],
) -> list["Run"]:
    from superserve_cli import console, engine, policies, profiles, reports
    from superserve_cli.reports import manifest

    served = profiles.load(profile).served(subnets)
    chosen = [policies.named(spec) for spec in policy] if policy else policies.every(served)
    reports.refuse_shared_folders([decides.name for decides in chosen])
    slo_ns = _slo_ns(asked["slo_ms"], served.default_slo_ns())
    rules["service"] = rules["service"] or served.default_service()
    engine.check(served, slo_ns=slo_ns, **rules)
    for decides in chosen:
        policies.compile(decides, served, rules["workers"])  # a policy that cannot be served is refused before any work is done
    arrived = _trace(name, asked, served.sustained_qps(rules["workers"]))
    claim()
    rules |= {"slo_ns": slo_ns, "seed": asked["seed"] or 0}
    console.note(_told(arrived, served, **rules))
    with console.waiting("compiling the simulator (the first time only)"):
        from superserve_cli.engine.simulator import simulate, warm_up
        from superserve_cli.studies.bounds import utility_bound

        warm_up()
        bound = utility_bound(arrived, served, workers=rules["workers"], slo_ns=slo_ns, service=rules["service"])
    runs = []
    with console.progress("simulating") as progress:
        for done, decides in enumerate(chosen):
            progress(done, len(chosen), decides.name)
            outcomes = simulate(arrived, served, decides, **rules)
            runs.append(reports.Run(outcomes, manifest.simulated(arrived, served, decides, **rules, utility_bound=bound)))
        progress(len(chosen), len(chosen), "")
    return runs


def _live(
    target: str,
    patience_s: float,
    entry: tuple[str | None, Path | None, bool],
    inputs: Path | None,
    processes: int | None,
    name: str,
    asked: dict[str, Any],
    claim: Callable[[], None],
) -> "Run":
    from superserve_cli import console, reports
    from superserve_cli.errors import BadOption
    from superserve_cli.reports import manifest
    from superserve_cli.serving import load

    access = load.Access(*entry)
    with console.waiting(f"waiting for {target}"):
        load.wait(target, patience_s, access)
    server = load.describe(target, access=access)
    slo_ns = _slo_ns(asked["slo_ms"], manifest.server_slo_ns(server))
    sustained = server.get("sustained_qps")
    if sustained is None and asked["qps"] is None and not name.startswith("file:"):
        raise BadOption("this server does not say what it sustains", hint="give --mean-qps")
    arrived = _trace(name, asked, sustained or 0.0)
    samples = _samples(server) if inputs is None else None
    claim()
    console.note(f"{len(arrived)} requests to {server['url']}, SLO {slo_ns / 1e6:g} ms, over {arrived.duration_ns / 1e9:.1f} s")
    with console.progress("replaying", quiet=True) as progress:
        run = load.replay(target, arrived, slo_ns, samples, inputs=inputs, access=access, processes=processes, progress=progress)
    for complaint, times in run.complaints.items():
        console.warn(f"{times} x {complaint}")
    console.note(_kept(run))
    told = manifest.live(
        arrived,
        run.server,
        slo_ns=slo_ns,
        seed=asked["seed"] or 0,
        problems=run.problems,
        lag_p99_ns=run.lag_p99_ns,
        idle_lag_ns=run.idle_lag_ns,
    )
    return reports.Run(run.outcomes, told)


def _samples(server: dict[str, Any]) -> "Split | None":
    """The test set of the task that a server names; None where it names none that is known here."""
    from superserve_cli import console, tasks

    task = server.get("task")
    if task in tasks.TASKS or str(task).startswith("npz:"):
        return tasks.load(str(task), server.get("seed") or 0).test
    console.note("the server names no task that is known here: random rows are sent, and whether answers are right is not judged")
    return None


def _kept(run: "LiveRun") -> str:
    """How well the schedule was kept, and by whom."""
    senders = "1 process" if run.processes == 1 else f"{run.processes} processes"
    lags = f"lag p99 {run.lag_p99_ns / 1e6:.2f} ms (idle timers here: {run.idle_lag_ns / 1e6:.2f} ms)"
    return f"{lags}, sent by {senders} on {run.connections} connections"


def _trace(name: str, asked: dict[str, Any], sustained_qps: float) -> "Trace":
    """The trace, at the rate that was asked for, or at a load relative to what the workers sustain."""
    from superserve_cli import traces
    from superserve_cli.errors import BadOption

    qps, load = asked["qps"], asked["load"]
    mix = None if asked["mix"] is None else traces.read_mix(asked["mix"])
    if name.startswith("file:"):
        if load is not None:
            raise BadOption("--load cannot go with this trace: file: is replayed exactly as it is", hint="leave --load out")
    elif qps is None:
        load = DEFAULT_LOAD if load is None else load
        if not 0 < load < float("inf"):
            raise BadOption(f"--load is {load:g}; it must be a positive number", hint="0.9 is 90 % of what the median subnet sustains")
        qps = load * sustained_qps / (mix.rows if mix else 1.0)
    return traces.load(name, qps=qps, duration_s=asked["duration_s"], seed=asked["seed"], mix=mix)


def _slo_ns(slo_ms: float | None, default_ns: int | None) -> int:
    from superserve_cli import traces
    from superserve_cli.errors import BadOption

    if slo_ms is not None:
        return traces.slo_ns(slo_ms)
    if default_ns is None:
        raise BadOption("this server does not say which SLO its requests have", hint="give --slo-ms")
    return default_ns


def _told(arrived: "Trace", served: "Profile", *, workers: int, slo_ns: int, late: str, service: str, seed: int) -> str:
    qps = len(arrived) * 1e9 / arrived.duration_ns
    load = arrived.rows * 1e9 / arrived.duration_ns / served.sustained_qps(workers)
    synthetic = "synthetic " if arrived.synthetic else ""
    return (
        f"{len(arrived)} {synthetic}requests at {qps:.0f}/s (load {load:.2f}), SLO {slo_ns / 1e6:g} ms; {workers} workers, "
        f"{len(served.subnets)} subnets of profile {served.metadata.get('name')}; late rule {late}, service {service}, seed {seed}"
    )


def _write(folder: Path, runs: list["Run"]) -> dict[str, Any]:
    """One run in the folder itself, or several beside each other with a comparison of all."""
    from superserve_cli import console, reports

    with reports.replaced(folder) as fresh:
        if len(runs) == 1:
            return reports.write_run(fresh, runs[0])
        with console.progress("reporting") as progress:
            for done, run in enumerate(runs):
                progress(done, len(runs) + 1, run.policy)
                reports.write_run(fresh / reports.folder_name(run.policy), run)
            progress(len(runs), len(runs) + 1, "comparison")
            summary = reports.write_comparison(fresh, runs)
            progress(len(runs) + 1, len(runs) + 1, "")
    return summary


def _refuse_both(options: dict[str, float | None]) -> None:
    from superserve_cli.errors import BadOption

    if len(given := [option for option, value in options.items() if value is not None]) > 1:
        raise BadOption(f"{' and '.join(given)} both say how much load there is", hint="give one of them")


def _next_folder(trace: str) -> Path:
    """The first of runs/<trace>-1, -2, ... that is not there yet."""
    name, n = trace.partition(":")[0], 1
    while (folder := Path("runs") / f"{name}-{n}").exists():
        n += 1
    return folder
