"""One frame of `superserve top`: lines of text with a style for each piece, as high and as wide as the terminal."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from superserve_cli.serving.top import figures
from superserve_cli.serving.top.figures import Figure, Sample, Samples

Style = Literal["", "bold", "dim", "good", "bad", "line", "bar"]
Line = list[tuple[str, Style]]
RECENT_S: Final = 5.5
STEPS_S: Final = (1, 2, 5, 10)
NAME, VALUE, UNIT, NOTE = 10, 8, 4, 18
LEAST_WIDE: Final = 64
BLOCKS: Final = " ▁▂▃▄▅▆▇█"
PARTS: Final = " ▏▎▍▌▋▊▉"
LATE: Final = {"drop": "late requests dropped", "shed": "late requests shed", "serve": "late requests served"}
SUBNET_WIDE: Final = 26
FIXED_LINES: Final = 14
"""Header, charts, the heads of two tables and what is between them."""


class Chart(NamedTuple):
    """A line of the frame: its name, its figure, how that is said, what else is known, and what range its blocks have at least."""

    name: str
    unit: str
    of: Figure
    say: Callable[[float], str]
    note: Callable[[Samples], str]
    least: float
    share: bool = False


def frame(state: dict[str, Any], samples: Sequence[Sample], url: str, width: int = 80, height: int = 24, trouble: str = "") -> list[Line]:
    """The lines; `trouble` is why nothing is known of just now."""
    width = max(width, LEAST_WIDE)
    recent = [sample for sample in samples if sample["unix_s"] > samples[-1]["unix_s"] - RECENT_S] if samples else []
    workers = state["workers"]
    room = max(2, height - FIXED_LINES)
    workers_room = min(len(workers), max(1, room // 2))
    lines = [*_header(state, url, width, trouble), [], *_charts(samples, recent, width), []]
    lines += [*_mix(state, recent, width, room - workers_room), [], *_workers(workers, recent, workers_room)]
    return lines[:height]


def _header(state: dict[str, Any], url: str, width: int, trouble: str) -> list[Line]:
    serving, server = state["serving"], state["server"]
    status: tuple[str, Style] = (trouble, "bad") if trouble else (state["unready"] or "live", "dim" if state["unready"] else "good")
    name = serving["model"] if serving else server["name"]
    about = f"  {url}  {server['name']} {server['version']}"[: max(0, width - len(name) - len(status[0]) - 2)]
    gap = " " * max(1, width - len(name) - len(about) - len(status[0]))
    return [[(name, "bold"), (about, "dim"), (gap, ""), status], [(_cut(_served(serving), width), "dim")]]


def _served(serving: dict[str, Any] | None) -> str:
    if serving is None:
        return ""
    hardware = serving["hardware"] or {}
    workers, slo = serving["workers"], serving["slo_us"]
    parts = (
        serving["policy"],
        LATE.get(serving["late"], serving["late"]),
        None if slo is None else f"SLO {slo / 1000:g} ms",
        None if serving["profile"] is None else f"profile {serving['profile']}",
        None if workers is None else f"{workers} worker{'s' * (workers > 1)}",
        hardware.get("device_name") or hardware.get("device"),
    )
    return ", ".join(str(part) for part in parts if part)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _charts(samples: Samples, recent: Samples, width: int) -> list[Line]:
    columns = width - NAME - VALUE - UNIT - NOTE - 4
    span_s = samples[-1]["unix_s"] - samples[0]["unix_s"] if samples else 0.0
    step_s = next((step for step in STEPS_S if step * (columns - 1) >= span_s), STEPS_S[-1])
    bins = _bins(samples, step_s, columns)
    margin = " " * (NAME + VALUE + UNIT + 2)
    return [*(_chart(chart, recent, bins) for chart in CHARTS), [(margin + _ago(step_s * columns, columns), "dim")]]


def _bins(samples: Samples, step_s: int, columns: int) -> list[list[Sample]]:
    """The samples by column; which ones share a column does not depend on when they are drawn."""
    bins: list[list[Sample]] = [[] for _ in range(columns)]
    last = int(samples[-1]["unix_s"] // step_s) if samples else 0
    for sample in samples:
        at = columns - 1 - last + int(sample["unix_s"] // step_s)
        if 0 <= at < columns:
            bins[at].append(sample)
    return bins


def _chart(chart: Chart, recent: Samples, bins: Sequence[Samples]) -> Line:
    value = chart.of(recent) if recent else None
    shown, unit = ("-", "") if value is None else (chart.say(value), chart.unit)
    blocks = spark([chart.of(each) if each else None for each in bins], chart.least, chart.share)
    return [
        (f"{chart.name:{NAME}}", ""),
        (f"{shown:>{VALUE}} ", "bold"),
        (f"{unit:{UNIT}} ", "dim"),
        (blocks, "line"),
        (f"  {chart.note(recent)}".rstrip(), "dim"),
    ]


def spark(values: Sequence[float | None], least: float, share: bool = False) -> str:
    """Values as blocks: amounts from 0 to the largest, or `least`; shares from the smallest to the largest, at least so far apart."""
    known = [value for value in values if value is not None]
    top = max(known, default=1.0)
    low = max(0.0, min([*known, top - least])) if share else 0.0
    top = max(top, low + least)
    return "".join(" " if value is None else _block((value - low) / (top - low)) for value in values)


def _block(part: float) -> str:
    return BLOCKS[1 + min(7, int(part * 7.999))]


def _ago(seconds: int, columns: int) -> str:
    """What stands below the charts, from end to end."""
    return f"{f'-{seconds // 60}:{seconds % 60:02}':<{columns - 3}}now"


def _percent(share: float) -> str:
    return f"{share * 100:.2f}"


def _reached(share: float) -> str:
    """Rounded down: 100 is all of them."""
    return "100" if share == 1 else f"{int(share * 10_000) / 100:.2f}"


def _amount(value: float) -> str:
    return f"{value:,.{0 if value >= 100 or value == int(value) else 1}f}"


def _misses(samples: Samples) -> str:
    """How the others ended: as many of the reasons as there is room for, the most frequent first."""
    counts = sorted(((int(sum(sample[name] for sample in samples)), name) for name in figures.ENDINGS[1:]), reverse=True)
    said = ""
    for text in (f"{count} {name}" for count, name in counts if count):
        longer = f"{said}, {text}" if said else text
        said = longer if len(longer) <= NOTE else said
    return said


def _oldest(samples: Samples) -> str:
    oldest = figures.most(samples, "oldest_ms")
    return "" if oldest is None else f"oldest {oldest:.0f} ms"


def _up(samples: Samples) -> str:
    return f"{samples[-1]['up']} up" if samples else ""


def _nothing(samples: Samples) -> str:
    return ""


CHARTS: Final = (
    Chart("arrivals", "/s", figures.arrivals, _amount, _nothing, 1),
    Chart("attainment", "%", figures.attainment, _reached, _misses, 0.1, True),
    Chart("accuracy", "%", figures.accuracy, _percent, _nothing, 0.04, True),
    Chart("queue", "req", figures.depth, _amount, _oldest, 8),
    Chart("wait p99", "ms", figures.wait_p99_ms, _amount, _nothing, 1),
    Chart("busy", "%", figures.busy, lambda share: f"{share * 100:.0f}", _up, 1, True),
)


def _mix(state: dict[str, Any], recent: Samples, width: int, room: int) -> list[Line]:
    """The subnets that had the most rows, the most accurate first."""
    counts = figures.rows(recent)
    total = counts.total()
    accuracies = {subnet["id"]: subnet["accuracy"] for subnet in (state["serving"] or {}).get("subnets", ())}
    shown = sorted((subnet for subnet, _ in counts.most_common(room)), key=lambda subnet: -(accuracies.get(subnet) or 0))
    lines: list[Line] = [[(f"{'subnet':{SUBNET_WIDE}}{'accuracy':>10}{'share':>10}", "dim")]]
    for subnet in shown:
        accuracy, share = accuracies.get(subnet), counts[subnet] / total
        name = _cut(subnet, SUBNET_WIDE - 1)
        said = f"{name:{SUBNET_WIDE}}{'-' if accuracy is None else f'{_percent(accuracy)} %':>10}{share * 100:>8.1f} %  "
        lines.append([(said, ""), (bar(share, width - len(said)), "bar")])
    return lines if total else [*lines, [("nothing has run in the last seconds", "dim")]]


def bar(share: float, width: int) -> str:
    """A share as a bar that is so wide at most, to an eighth of a column."""
    whole, part = divmod(round(share * width * 8), 8)
    return ("█" * whole + PARTS[part]).rstrip()


def _workers(workers: Iterable[dict[str, Any]], recent: Samples, room: int) -> list[Line]:
    head = f"{'worker':8}{'state':14}{'busy':>7}{'batches':>12}{'restarts':>10}{'plan scale':>12}"
    listed = list(workers)
    # those in trouble are shown first, where there is no room for all
    chosen = listed if len(listed) <= room else sorted(listed, key=lambda worker: (worker["up"], -worker["plan_scale"]))[:room]
    return [[(head, "dim")], *(_worker(worker, recent) for worker in sorted(chosen, key=lambda worker: int(worker["worker"])))]


def _worker(worker: dict[str, Any], recent: Samples) -> Line:
    busy = figures.busy_of(recent, worker["worker"])
    state = "up" if worker["up"] else f"down, {worker['last_loss']}" if worker["last_loss"] else "down"
    style: Style = "" if worker["up"] else "bad"
    share = "-" if busy is None else f"{busy * 100:.0f} %"
    rest = f"{share:>7}{worker['batches']:>12,}{worker['restarts']:>10}"
    scale: Style = "bad" if worker["plan_scale"] > 1 else ""
    return [(f"{worker['worker']:<8}", ""), (f"{state[:13]:14}", style), (rest, ""), (f"{worker['plan_scale']:>12.2f}", scale)]
