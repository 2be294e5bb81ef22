import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, ms_to_ns
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.traces import arrivals, azure, files
from superserve_cli.traces.azure_csv import minute_counts
from superserve_cli.traces.mix import Mix
from superserve_cli.traces.ramp import PAPER, Ramp
from superserve_cli.traces.trace import Trace

NAMES: Final = {
    "azure": "SYNTHETIC arrivals with the published statistics of Azure Functions 2019: 8 hours of 100 functions, compressed",
    "azure:FILE": "a real invocation file of the Azure Functions trace of 2019 (CSV, gzipped or not), compressed; Poisson inside a minute",
    "poisson": "synthetic Poisson arrivals of constant rate",
    "bursty": "synthetic: a constant base and a variant with gamma gaps, CV^2 = 8 (bursty:CV2 for another)",
    "time-varying": "synthetic: the rate rises from 2500/s to 7400/s at 250/s^2 (time-varying:TAU for another), gamma gaps of CV^2 = 8",
    "file:PATH": "a trace of your own, exactly as it is: Parquet (trace/1), or CSV with arrival_ns or arrival_s",
}
DEFAULT_QPS: Final = 1000.0
DEFAULT_DURATION_S: Final = 60.0
DEFAULT_SEED: Final = 0
MOST_REQUESTS: Final = 500_000_000
"""More than this does not fit the memory of an ordinary machine; a rate in the wrong unit does not either."""
LARGEST_CV2: Final = 1000.0


@dataclass(frozen=True)
class Ask:
    """What a generator is asked for, checked, every default filled in."""

    qps: float
    duration_ns: int
    seed: int
    cv2: float
    base_share: float

    @property
    def rng(self) -> Generator:
        """The one source of randomness of a trace."""
        return np.random.Generator(np.random.PCG64(self.seed))


def load(
    spec: str,
    *,
    qps: float | None = None,
    duration_s: float | None = None,
    seed: int | None = None,
    cv2: float | None = None,
    base_share: float | None = None,
    start_qps: float | None = None,
    end_qps: float | None = None,
    mix: Mix | None = None,
) -> Trace:
    """The trace that a name of NAMES stands for; raises Unknown, BadOption or BadFile.

    `qps` is the mean rate (1000); it, `duration_s` (60), `seed` (0) and `mix` belong to generators and are an error for `file:`;
    `cv2` (8) belongs to `bursty` and `time-varying`, `base_share` (1500/7050, the paper's) to `bursty`; `start_qps` (2500) and
    `end_qps` (7400) to `time-varying`, whose rates, acceleration included, are scaled to the mean `qps` where that is given.
    """
    name, _, argument = spec.partition(":")
    if name == "file" and argument:
        _refuse_given({"--mean-qps": qps, "--duration": duration_s, "--seed": seed, "--mix": mix}, "file: is replayed exactly as it is")
    if name not in ("bursty", "time-varying"):
        _refuse_given({"--cv2": cv2}, "only bursty and time-varying have it")
    if name != "bursty":
        _refuse_given({"--base-share": base_share}, "only bursty has it")
    if name != "time-varying":
        _refuse_given({"--start-qps": start_qps, "--end-qps": end_qps}, "only time-varying has it")
    if name == "bursty" and argument:
        cv2 = _cv2_of(spec, argument, cv2)
    if name == "file" and argument:
        return replace(files.read(Path(argument)), source=spec)
    if name == "time-varying" and spec != "time-varying:":
        ramp = _ramp(spec, argument, start_qps, end_qps)
        ask = _ask(ramp.start, duration_s, seed, cv2, None)
        made = _time_varying(spec, ramp, qps, ask)
    elif name not in GENERATORS or (name == "poisson" and argument) or spec in ("azure:", "bursty:"):
        raise _unknown(spec)
    else:
        ask = _ask(qps, duration_s, seed, cv2, base_share)
        made = GENERATORS[name](spec, argument, ask)
    return made if mix is None else mix.dealt(made, ask.seed)


def slo_ns(slo_ms: float) -> int:
    """An SLO of the command line in ns; raises BadOption for what is not a positive time."""
    if _positive("--slo-ms", slo_ms) * NS_PER_MS < 1 or slo_ms * NS_PER_MS > files.FURTHEST_NS:
        raise BadOption(f"--slo-ms is {slo_ms:g}", hint="give milliseconds, as in --slo-ms 36")
    return ms_to_ns(slo_ms)


def _unknown(spec: str) -> Unknown:
    error = Unknown("trace", spec, NAMES)
    if Path(spec).is_file():
        error.hint = f"a file is given as file:{spec}, or azure:{spec} if it is one of Azure's"
    return error


def _refuse_given(options: Mapping[str, object], why: str) -> None:
    if given := [option for option, value in options.items() if value is not None]:
        raise BadOption(f"{' and '.join(given)} cannot go with this trace: {why}", hint=f"leave {' and '.join(given)} out")


def _cv2_of(spec: str, argument: str, cv2: float | None) -> float:
    if cv2 is not None:
        raise BadOption(f"--cv2 and {spec} both give CV^2", hint="give it once")
    try:
        return float(argument)
    except ValueError:
        raise BadOption(f"{argument!r} in {spec} is not a number", hint="write bursty:CV2, as in bursty:4") from None


def _ramp(spec: str, argument: str, start_qps: float | None, end_qps: float | None) -> Ramp:
    try:
        acceleration = float(argument) if argument else PAPER.acceleration
    except ValueError:
        raise BadOption(f"{argument!r} in {spec} is not a number", hint="write time-varying:TAU, as in time-varying:5000") from None
    return Ramp(
        start=_positive("--start-qps", PAPER.start if start_qps is None else start_qps),
        end=_positive("--end-qps", PAPER.end if end_qps is None else end_qps),
        acceleration=_positive(f"the acceleration in {spec}", acceleration),
    )


def _ask(qps: float | None, duration_s: float | None, seed: int | None, cv2: float | None, base_share: float | None) -> Ask:
    rate = _positive("--mean-qps", DEFAULT_QPS if qps is None else qps)
    duration = _positive("--duration", DEFAULT_DURATION_S if duration_s is None else duration_s)
    if rate * duration > MOST_REQUESTS:
        raise BadOption(
            f"{rate:g} requests/s for {duration:g} s are {rate * duration:.3g} requests, more than {MOST_REQUESTS:,}",
            hint="--mean-qps counts requests per second, --duration seconds; lower one of them",
        )
    ask = Ask(
        qps=rate,
        duration_ns=round(duration * NS_PER_S),
        seed=DEFAULT_SEED if seed is None else seed,
        cv2=arrivals.PAPER_CV2 if cv2 is None else cv2,
        base_share=arrivals.PAPER_BASE_SHARE if base_share is None else base_share,
    )
    if ask.duration_ns < 1 or ask.duration_ns >= files.FURTHEST_NS:
        raise BadOption(f"--duration is {duration:g} s", hint="give some seconds")
    if ask.seed < 0:
        raise BadOption(f"--seed is {ask.seed}; it must not be negative", hint="give a whole number from 0")
    if not 0 <= ask.cv2 <= LARGEST_CV2:
        raise BadOption(f"CV^2 is {ask.cv2:g}; it must lie in 0..{LARGEST_CV2:g}", hint="the paper uses 2, 4 and 8")
    if not 0 <= ask.base_share <= 1:
        raise BadOption(f"--base-share is {ask.base_share:g}; it must lie in 0..1", hint="the paper's is 0.213")
    return ask


def _positive(option: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise BadOption(f"{option} is {value:g}; it must be a positive number", hint=f"give {option} a number above 0")
    return value


def _azure(spec: str, argument: str, ask: Ask) -> Trace:
    rng = ask.rng
    if not argument:
        return _trace(spec, ask, arrivals.shaped(rng, azure.minute_rates(rng), ask.qps, ask.duration_ns), {"about": azure.ABOUT})
    counts = minute_counts(Path(argument))
    about = {
        "synthetic": False,
        "about": "real invocations per minute of all functions of the file, compressed and scaled; Poisson inside a minute",
        "minutes": len(counts),
        "invocations": int(counts.sum()),
    }
    return _trace(spec, ask, arrivals.shaped(rng, counts.astype(np.float64), ask.qps, ask.duration_ns), about)


def _poisson(spec: str, argument: str, ask: Ask) -> Trace:
    return _trace(spec, ask, arrivals.poisson(ask.rng, ask.qps, ask.duration_ns), {})


def _bursty(spec: str, argument: str, ask: Ask) -> Trace:
    times = arrivals.bursty(ask.rng, ask.qps, ask.duration_ns, ask.cv2, ask.base_share)
    return _trace(spec, ask, times, {"cv2": ask.cv2, "base_share": ask.base_share})


def _time_varying(spec: str, ramp: Ramp, qps: float | None, ask: Ask) -> Trace:
    """The ramp as it is, or scaled in its rates (and not in time) to a mean of `qps`."""
    seconds = ask.duration_ns / NS_PER_S
    ramp = ramp if qps is None else ramp.times(_positive("--mean-qps", qps) * seconds / ramp.expected(seconds))
    whole = _ask(ramp.expected(seconds) / seconds, seconds, ask.seed, ask.cv2, None)
    times = arrivals.accelerating(ask.rng, ramp, ask.duration_ns, ask.cv2)
    return _trace(spec, whole, times, {"cv2": ask.cv2, **asdict(ramp)})


def _trace(spec: str, ask: Ask, arrival_ns: arrivals.Arrivals, about: dict[str, Any]) -> Trace:
    duration_s = ask.duration_ns / NS_PER_S
    if not len(arrival_ns):
        raise BadOption(
            f"{ask.qps:g} requests/s for {duration_s:g} s made no request at all", hint="raise --mean-qps or --duration, or change --seed"
        )
    metadata = {"synthetic": True, "seed": ask.seed, "qps": ask.qps, "duration_s": duration_s, **about}
    return Trace(arrival_ns=arrival_ns, source=spec, metadata=metadata)


GENERATORS: Final[dict[str, Callable[[str, str, Ask], Trace]]] = {"azure": _azure, "poisson": _poisson, "bursty": _bursty}
