"""From the options of `superserve serve` to the settings of a server: at its start, and again at every swap."""

from pathlib import Path
from typing import Final

from superserve_cli import policies, profiles
from superserve_cli.core.nouns import ms_to_ns
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.serving import keys
from superserve_cli.serving.keys import Keys
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.tls import Tls
from superserve_cli.serving.workers.messages import Order

LONGEST_SLO_MS: Final = 86_400_000
LEAST_SLO_MS: Final = 0.001
LEAST_HUNG_MS: Final = 10
GRPC_PORT: Final = 8001
WORKER: Final = "superserve_cli.serving.workers.resident:make"


def settings_of(
    *,
    supernet: str | Path | None,
    profile: str | None,
    subnets: str | None,
    policy: str,
    late: str,
    slo_ms: float | None,
    device: list[str] | None,
    threads: int | None,
    dtype: str | None,
    pack_mb: int | None,
    uint8: bool,
    eager: bool,
    host: str,
    port: int,
    grpc_port: int | None,
    no_grpc: bool,
    max_queue: int,
    max_queue_mb: int,
    max_connections: int,
    drain_s: float,
    fixtures: bool,
    hung_ms: float | None,
    drift_guard: bool,
    api_key: str | None,
    api_key_file: str | Path | None,
    insecure: bool,
    tls_cert: str | Path | None,
    tls_key: str | Path | None,
    tls_client_ca: str | Path | None,
    out: str | Path | None,
    record: str | Path | None,
) -> Settings:
    """What `superserve serve` was told; raises the SuperserveError that says what is wrong with it."""
    served = profiles.load(profile).served(subnets)
    computing = {"threads": threads, "dtype": dtype, "pack_mb": pack_mb, "pixels": uint8, "eager": eager}
    path = None if supernet is None else str(supernet)
    tls = _tls(tls_cert, tls_key, tls_client_ca)
    return Settings(
        orders=[Order(WORKER, {"path": path, "device": name, **computing}) for name in device or ["cpu"]],
        profile=served,
        policy=policies.named(policy),
        late=late,
        slo_ns=_slo_ns(slo_ms, served.default_slo_ns()),
        host=host,
        port=port,
        grpc_port=_grpc_port(grpc_port, port, no_grpc),
        max_queue=max_queue,
        max_queue_mb=max_queue_mb,
        max_connections=max_connections,
        longest_drain_s=drain_s,
        record=out is not None,
        events=record is not None,
        fixtures=fixtures,
        hung_ns=_hung_ns(hung_ms),
        drift_guard=drift_guard,
        weights=_weights(supernet),
        keys=_keys(api_key, api_key_file, host, tls, insecure),
        tls=tls,
    )


def _weights(supernet: str | Path | None) -> tuple[tuple[str, int, int, int], ...]:
    """What tells whether the files of a SuperNet are still those that workers have loaded; raises BadFile where one cannot be read."""
    if supernet is None:
        return ()
    path = Path(supernet)
    try:
        looks = [(file.name, file.stat()) for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    except OSError as error:
        hint = "name a SuperNet's folder, an .onnx file, or a folder of them"
        raise BadFile(f"cannot read {error.filename or path}: {error.strerror}", hint=hint) from error
    return tuple((name, look.st_ino, look.st_size, look.st_mtime_ns) for name, look in looks)


def _keys(key: str | None, path: str | Path | None, host: str, tls: Tls | None, insecure: bool) -> Keys:
    if not host:
        raise BadOption("--host is empty", hint="0.0.0.0 listens on all addresses")
    taken = keys.of(key, None if path is None else Path(path))
    keys.demand(host, taken, tls is not None and tls.client_ca is not None, insecure)
    return taken


def _tls(cert: str | Path | None, key: str | Path | None, client_ca: str | Path | None) -> Tls | None:
    if cert is not None and key is not None:
        return Tls(Path(cert), Path(key), None if client_ca is None else Path(client_ca))
    if given := [name for name, path in (("--tls-cert", cert), ("--tls-key", key), ("--tls-client-ca", client_ca)) if path is not None]:
        raise BadOption(f"{given[0]} alone makes no TLS", hint="give --tls-cert FILE and --tls-key FILE")
    return None


def _grpc_port(asked: int | None, port: int, off: bool) -> int | None:
    if off and asked is not None:
        raise BadOption("--grpc-port and --no-grpc exclude each other", hint="leave one of them out")
    if asked is not None and asked == port != 0:
        raise BadOption(f"--port and --grpc-port are both {port}", hint="choose another --grpc-port (0 picks a free one)")
    if off:
        return None
    return asked if asked is not None else GRPC_PORT if port else 0


def _slo_ns(slo_ms: float | None, default_ns: int) -> int:
    if slo_ms is None:
        return default_ns
    if not LEAST_SLO_MS <= slo_ms <= LONGEST_SLO_MS:
        raise BadOption(f"--slo-ms is {slo_ms:g}", hint=f"it must be from {LEAST_SLO_MS} to {LONGEST_SLO_MS} milliseconds")
    return ms_to_ns(slo_ms)


def _hung_ns(hung_ms: float | None) -> int | None:
    if hung_ms is None:
        return None
    if not LEAST_HUNG_MS <= hung_ms <= LONGEST_SLO_MS:
        raise BadOption(f"--hung-ms is {hung_ms:g}", hint=f"it must be from {LEAST_HUNG_MS} to {LONGEST_SLO_MS} milliseconds")
    return ms_to_ns(hung_ms)
