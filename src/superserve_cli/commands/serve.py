from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superserve_cli.commands import config as configuration

if TYPE_CHECKING:
    from superserve_cli.serving.server import Server
    from superserve_cli.serving.settings import Settings

MOST = 1_000_000
"""Of requests that wait, of connections and of MB: what is more is a slip of the keyboard, and more than libraries count."""
LONGEST_DRAIN_S = 86_400


def serve(
    context: typer.Context,
    supernet: Annotated[
        Path | None, typer.Argument(help="What to serve: a SuperNet's folder (default: the shipped one), an .onnx file, a folder of them.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Its profile: a file, or the name of a shipped one.")] = None,
    subnets: Annotated[str | None, typer.Option(help="all, or IDs separated by commas; by default those that none dominates.")] = None,
    policy: Annotated[str, typer.Option(help="What decides: see `superserve list policies`.")] = "slackfit",
    late: Annotated[str, typer.Option(help="What becomes of requests that no choice can meet: drop, shed or serve.")] = "shed",
    slo_ms: Annotated[float | None, typer.Option(help="The SLO of requests that name none; by default 1.2 x the slowest batch.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="One worker per device: cpu, cuda, cuda:1; repeatable.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads per CPU worker; by default one less than the cores.", min=1)] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 (default on a GPU) or float16. Not with ONNX files.", show_default=False)
    ] = None,
    pack_mb: Annotated[
        int | None, typer.Option(help="MB of packed weights per worker (default: 256). Not with ONNX files.", min=0, show_default=False)
    ] = None,
    uint8: Annotated[bool, typer.Option("--uint8", help="Take images as uint8 pixels, which the device divides by 255.")] = False,
    eager: Annotated[bool, typer.Option("--eager", help="On a GPU, launch kernel by kernel instead of replaying captured graphs.")] = False,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where to listen; 0 picks a free port.", min=0, max=65535)] = 8000,
    grpc_port: Annotated[
        int | None,
        typer.Option(help="Where to listen for gRPC (default: 8001, or a free port with --port 0).", min=0, max=65535, show_default=False),
    ] = None,
    no_grpc: Annotated[bool, typer.Option("--no-grpc", help="Serve HTTP alone.")] = False,
    max_queue: Annotated[int, typer.Option(help="Requests that may wait; more get 503.", min=1, max=MOST)] = 10_000,
    max_queue_mb: Annotated[
        int, typer.Option(help="MB that requests may take which arrive, wait or run; more get 503.", min=1, max=MOST)
    ] = 1024,
    fixtures: Annotated[
        bool, typer.Option("--fixtures", help="Serve simple, simple_string and simple_identity too, for clients' own tests.")
    ] = False,
    hung_ms: Annotated[
        float | None, typer.Option(help="A worker that keeps a batch for longer is restarted.", show_default="10 x its plan, at least 3 s")
    ] = None,
    drift_guard: Annotated[bool, typer.Option(help="Plan workers that are slower than their profile as slow.")] = True,
    max_connections: Annotated[int, typer.Option(help="Clients that may be connected; more get 503.", min=1, max=MOST)] = 4096,
    drain_s: Annotated[
        float, typer.Option(help="Seconds for answers that are owed at the end; then they are 503.", min=0, max=LONGEST_DRAIN_S)
    ] = 30.0,
    api_key: Annotated[
        str | None,
        typer.Option(help="Who asks must send Authorization: Bearer KEY.", envvar="SUPERSERVE_API_KEY", metavar="KEY", show_default=False),
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="Keys, one a line; any of them will do.", show_default=False)] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let anybody ask who reaches --host, without a key.")] = False,
    tls_cert: Annotated[Path | None, typer.Option(help="A certificate (PEM): serve HTTPS.", show_default=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).", show_default=False)] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Clients need a certificate of this authority (PEM).", show_default=False)
    ] = None,
    log_format: Annotated[str, typer.Option(help="text, or json: an object a line.")] = "text",
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info; warning if --quiet")] = None,
    config: Annotated[Path | None, configuration.option("profile", "policy")] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what is wrong with options and files, and end without a worker.")] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for the run's outcomes and report, written at the end.")] = None,
    record: Annotated[Path | None, typer.Option(help="A Parquet file for every event and decision, written at the end.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out, and the file of --record.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the address and what goes wrong.")] = False,
) -> None:
    """Serve a SuperNet over HTTP and gRPC (Open Inference Protocol v2), within each request's deadline.

    A request may name its SLO (`timeout` or `slo_us`, microseconds), a `min_accuracy` and a `subnet` in its `parameters`. Ctrl-C or
    SIGTERM answers what is queued and ends; a second one ends at once. SIGHUP serves what --config, the policy's file, the profile,
    the SuperNet, keys and certificates are by now, without losing a request. Metrics for Prometheus are at /metrics.
    """
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes before the server can swap shall not end it

    from superserve_cli import console, reports
    from superserve_cli.commands.serve_settings import settings_of
    from superserve_cli.core import files
    from superserve_cli.serving import logs

    logs.set_up(log_level or ("warning" if quiet else "info"), log_format)
    settings = settings_of(**_picked(context.params))
    if check:
        settings.check()
        console.note("nothing is wrong")
        return
    if out is not None:
        reports.claim_folder(out, overwrite)
    if record is not None:
        files.claim_parquet(record, overwrite)
    chatty = not quiet and log_format == "text"
    server = _run(context, settings, chatty)
    try:
        if record is not None:
            _keep_events(server, record, chatty)
    finally:  # a disk that is full is no reason to lose what goes to another one
        if out is not None:
            _keep_run(server, out, chatty)


def _keep_events(server: "Server", path: Path, chatty: bool) -> None:
    from superserve_cli import console
    from superserve_cli.engine import recording

    if (recorded := server.recording()) is None:
        return
    recording.write(path, recorded)
    if chatty:
        console.note(f"{len(recorded)} events and decisions, written to {path}")


def _keep_run(server: "Server", folder: Path, chatty: bool) -> None:
    from superserve_cli import console, reports
    from superserve_cli.reports import manifest

    if (outcomes := server.outcomes()) is None:
        return
    if len(outcomes):
        with reports.replaced(folder) as fresh:
            reports.write_run(fresh, reports.Run(outcomes, manifest.served(server.described, outcomes, server.url)))
    if chatty:
        console.note(f"{len(outcomes)} requests, written to {folder}" if len(outcomes) else f"nobody asked: nothing is written to {folder}")


def _picked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of the values of all options, those that make settings."""
    from superserve_cli.commands.serve_settings import settings_of

    return {name: values[name] for name in signature(settings_of).parameters}


def _run(context: typer.Context, settings: "Settings", chatty: bool) -> "Server":
    import asyncio

    import uvloop

    from superserve_cli.commands.serve_settings import settings_of
    from superserve_cli.serving.server import run

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        reread = lambda: settings_of(**_picked(configuration.again(context)))  # noqa: E731
        return runner.run(run(settings, lambda server: _opened(server, settings, chatty), reread))


def _opened(server: "Server", settings: "Settings", chatty: bool) -> None:
    import sys

    from superserve_cli import console

    said, model = server.described, server.hellos[0].model
    workers = f"{said['workers']} worker{'s' if said['workers'] > 1 else ''}"
    grpc = f" and {server.grpc_url}" if server.grpc_url else ""
    how = f"{said['policy']}, {said['late']}, {workers}, SLO {settings.slo_ns / 1e6:g} ms"
    console.data(f"serving {model.name} on {server.url}{grpc} ({how})")
    sys.stdout.flush()  # whoever reads a pipe waits for this line
    if chatty:
        console.note(_example(server.url, model.name, model.datatype, model.shape))


def _example(url: str, model: str, datatype: str, shape: tuple[int, ...]) -> str:
    from math import prod

    data = f"'\"$(yes 0 | head -{prod(shape)} | paste -sd,)\"'"
    tensor = f'{{"name":"input","datatype":"{datatype}","shape":{[1, *shape]},"data":[{data}]}}'
    return f"try it: curl {url}/v2/models/{model}/infer -d '{{\"inputs\":[{tensor}]}}'"
