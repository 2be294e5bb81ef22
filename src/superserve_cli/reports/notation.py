"""How reports write their numbers: the same figure looks the same on the terminal, in Markdown and on the page."""

from typing import Final

UNKNOWN: Final = "–"
INFINITE: Final = "∞"


def percent(share: float | None, places: int = 2) -> str:
    """A share in 0..1 as per cent; what is neither nothing nor all is never rounded to it."""
    if share is None:
        return UNKNOWN
    least = 10**-places
    shown = min(max(100 * share, least), 100 - least) if 0 < share < 1 else 100 * share
    return f"{shown:.{places}f} %"


def points(share: float | None) -> str:
    """A difference of shares, in percentage points without their unit."""
    return percent(share).removesuffix(" %")


def interval(low: float | None, high: float | None) -> str:
    """An interval of shares, in per cent."""
    return UNKNOWN if low is None or high is None else f"{100 * low:.2f}–{100 * high:.2f} %"


def milliseconds(ms: float | None, missing: str = INFINITE) -> str:
    """A time in ms to three digits or the whole; None is `missing`: a percentile without an answer is infinite."""
    if ms is None:
        return missing
    return f"{ms:.2f}" if ms < 9.995 else f"{ms:.1f}" if ms < 99.95 else f"{ms:,.0f}"


def count(number: float | None) -> str:
    """A count in full."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def short_count(number: float) -> str:
    """A count in at most five characters."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{unit}" if number < 999.5 * size else f"{number / size:.0f}{unit}"
    return f"{number:.0f}"
