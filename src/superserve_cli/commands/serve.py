from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from superserve_cli.serving.server import Server, Settings


def serve(
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
    max_queue: Annotated[int, typer.Option(help="Requests that may wait; more get 503.", min=1)] = 10_000,
    fixtures: Annotated[
        bool, typer.Option("--fixtures", help="Serve simple, simple_string and simple_identity too, for clients' own tests.")
    ] = False,
    hung_ms: Annotated[
        float | None, typer.Option(help="A worker that keeps a batch for longer is restarted.", show_default="10 x its plan, at least 1 s")
    ] = None,
    drift_guard: Annotated[bool, typer.Option(help="Plan workers that are slower than their profile as slow.")] = True,
    max_queue_mb: Annotated[int, typer.Option(help="MB that requests may take which arrive, wait or run; more get 503.", min=1)] = 1024,
    out: Annotated[Path | None, typer.Option(help="A folder for the run's outcomes and report, written at the end.")] = None,
    record: Annotated[Path | None, typer.Option(help="A Parquet file for every event and decision, written at the end.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out, and the file of --record.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the address and what goes wrong.")] = False,
) -> None:
    """Serve a SuperNet over HTTP and gRPC (Open Inference Protocol v2), within each request's deadline.

    A request may name its SLO (`timeout` or `slo_us`, microseconds), a `min_accuracy` and a `subnet` in its `parameters`. Ctrl-C or
    SIGTERM answers what is queued and ends. Metrics for Prometheus are at /metrics.
    """
    from superserve_cli import console, policies, profiles, reports
    from superserve_cli.core import files
    from superserve_cli.engine import recording
    from superserve_cli.errors import BadOption
    from superserve_cli.reports import manifest
    from superserve_cli.serving.server import Settings
    from superserve_cli.serving.workers.messages import Order

    if not host:
        raise BadOption("--host is empty", hint="0.0.0.0 listens on all addresses")
    served = profiles.load(profile).served(subnets)
    computing = {"threads": threads, "dtype": dtype, "pack_mb": pack_mb, "pixels": uint8, "eager": eager}
    settings = Settings(
        orders=[Order(WORKER, {"path": _text(supernet), "device": name, **computing}) for name in device or ["cpu"]],
        profile=served,
        policy=policies.named(policy),
        late=late,
        slo_ns=_slo_ns(slo_ms, served.default_slo_ns()),
        host=host,
        port=port,
        grpc_port=_grpc_port(grpc_port, port, no_grpc),
        max_queue=max_queue,
        max_queue_mb=max_queue_mb,
        record=out is not None,
        events=record is not None,
        fixtures=fixtures,
        hung_ns=_hung_ns(hung_ms),
        drift_guard=drift_guard,
    )
    if out is not None:
        reports.claim_folder(out, overwrite)
    if record is not None:
        files.claim_parquet(record, overwrite)
    _log(quiet)
    server = _run(settings, quiet)
    if record is not None and (recorded := server.recording()) is not None:
        recording.write(record, recorded)
        if not quiet:
            console.note(f"{len(recorded)} events and decisions, written to {record}")
    outcomes = server.outcomes()
    if out is None or outcomes is None:
        return
    if len(outcomes):
        reports.clear_folder(out)
        reports.write_run(out, reports.Run(outcomes, manifest.served(server.described, outcomes, server.url)))
    if not quiet:
        console.note(f"{len(outcomes)} requests, written to {out}" if len(outcomes) else f"nobody asked: nothing is written to {out}")


WORKER = "superserve_cli.serving.workers.resident:make"


def _grpc_port(asked: int | None, port: int, off: bool) -> int | None:
    from superserve_cli.errors import BadOption

    if off and asked is not None:
        raise BadOption("--grpc-port and --no-grpc exclude each other", hint="leave one of them out")
    if asked is not None and asked == port != 0:
        raise BadOption(f"--port and --grpc-port are both {port}", hint="choose another --grpc-port (0 picks a free one)")
    if off:
        return None
    return asked if asked is not None else GRPC_PORT if port else 0


GRPC_PORT = 8001


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _slo_ns(slo_ms: float | None, default_ns: int) -> int:
    from superserve_cli.core.nouns import ms_to_ns
    from superserve_cli.errors import BadOption

    if slo_ms is None:
        return default_ns
    if not 0 < slo_ms <= LONGEST_SLO_MS:
        raise BadOption(f"--slo-ms is {slo_ms:g}", hint=f"it must be more than 0 and at most {LONGEST_SLO_MS} milliseconds")
    return ms_to_ns(slo_ms)


def _hung_ns(hung_ms: float | None) -> int | None:
    from superserve_cli.core.nouns import ms_to_ns
    from superserve_cli.errors import BadOption

    if hung_ms is None:
        return None
    if not LEAST_HUNG_MS <= hung_ms <= LONGEST_SLO_MS:
        raise BadOption(f"--hung-ms is {hung_ms:g}", hint=f"it must be from {LEAST_HUNG_MS} to {LONGEST_SLO_MS} milliseconds")
    return ms_to_ns(hung_ms)


LONGEST_SLO_MS = 86_400_000
LEAST_HUNG_MS = 10


def _log(quiet: bool) -> None:
    import logging

    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def _run(settings: "Settings", quiet: bool) -> "Server":
    import asyncio

    import uvloop

    from superserve_cli.serving.server import run

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(settings, lambda server: _opened(server, settings, quiet)))


def _opened(server: "Server", settings: "Settings", quiet: bool) -> None:
    import sys

    from superserve_cli import console
    from superserve_cli.serving.described import mismatches

    said, model = server.described, server.hellos[0].model
    workers = f"{said['workers']} worker{'s' if said['workers'] > 1 else ''}"
    grpc = f" and grpc://{server.grpc_address}" if server.grpc_address else ""
    for sentence in mismatches(settings.profile, server.hellos[0]):
        console.warn(sentence)
    how = f"{said['policy']}, {said['late']}, {workers}, SLO {settings.slo_ns / 1e6:g} ms"
    console.data(f"serving {model.name} on {server.url}{grpc} ({how})")
    sys.stdout.flush()  # whoever reads a pipe waits for this line
    if not quiet:
        console.note(_example(server.url, model.name, model.datatype, model.shape))


def _example(url: str, model: str, datatype: str, shape: tuple[int, ...]) -> str:
    from math import prod

    data = f"'\"$(yes 0 | head -{prod(shape)} | paste -sd,)\"'"
    tensor = f'{{"name":"input","datatype":"{datatype}","shape":{[1, *shape]},"data":[{data}]}}'
    return f"try it: curl {url}/v2/models/{model}/infer -d '{{\"inputs\":[{tensor}]}}'"
