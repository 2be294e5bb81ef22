from typing import Any

import numpy as np
from numpy.typing import NDArray

from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.traces.trace import Trace


def statistics(trace: Trace) -> dict[str, Any]:
    """How many requests, how fast, how bursty; None where a trace is too short to say.

    Index of dispersion (`idc`): variance over mean of the counts in windows; 1 for a Poisson process. `peak_to_mean_1s`: the
    fullest second over the mean. `iat_cv`: standard deviation over mean of the gaps between arrivals.
    """
    duration_s = trace.duration_ns / NS_PER_S
    return {
        "requests": len(trace),
        "duration_s": duration_s,
        "mean_qps": len(trace) / duration_s,
        "peak_to_mean_1s": peak_to_mean(trace, NS_PER_S),
        "iat_cv": gap_cv(trace),
        "idc_10ms": dispersion(trace, 10 * NS_PER_MS),
        "idc_100ms": dispersion(trace, 100 * NS_PER_MS),
        "idc_1s": dispersion(trace, NS_PER_S),
        "synthetic": trace.synthetic,
    }


def counts(trace: Trace, window_ns: int) -> NDArray[np.int64]:
    """Arrivals in each whole window of the trace."""
    whole = trace.duration_ns // window_ns
    index = trace.arrival_ns // window_ns
    return np.bincount(index[index < whole], minlength=whole)


def dispersion(trace: Trace, window_ns: int) -> float | None:
    """Variance over mean of the counts in windows, or None for fewer than two windows or no arrival in them."""
    inside = counts(trace, window_ns)
    return float(inside.var() / inside.mean()) if len(inside) > 1 and inside.any() else None


def peak_to_mean(trace: Trace, window_ns: int) -> float | None:
    """The fullest whole window over the mean one, or None where there is none."""
    inside = counts(trace, window_ns)
    return float(inside.max() / inside.mean()) if inside.any() else None


def gap_cv(trace: Trace) -> float | None:
    """Coefficient of variation of the gaps, or None for fewer than two gaps or gaps that are all zero."""
    gaps = np.diff(trace.arrival_ns)
    return float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.any() else None


def describe(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Statistics as lines for people: what, how much; a dash where the trace is too short to say."""
    return [
        ("requests", f"{found['requests']:,}"),
        ("duration", f"{found['duration_s']:,.6g} s"),
        ("mean rate", f"{found['mean_qps']:,.1f} requests/s"),
        ("peak / mean at 1 s", _number(found["peak_to_mean_1s"])),
        ("CV of the gaps", _number(found["iat_cv"])),
        ("index of dispersion at 10 ms", _number(found["idc_10ms"])),
        ("index of dispersion at 100 ms", _number(found["idc_100ms"])),
        ("index of dispersion at 1 s", _number(found["idc_1s"])),
        ("synthetic", "yes" if found["synthetic"] else "no"),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
