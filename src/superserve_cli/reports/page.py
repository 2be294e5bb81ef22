"""Reports as one HTML file that needs nothing else: no script, no font, no picture beside it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

import numpy as np

from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.reports import charts, comparison, described, markdown, notation, rejections, tenants
from superserve_cli.reports.metrics import answered, latency_ns
from superserve_cli.reports.run import Run, labels
from superserve_cli.reports.timeline import timeline

FATES: Final = {"met": "--good", "late": "--late", "dropped": "--miss", "rejected": "--series-3", "failed": "--ink"}
COARSE_BINS: Final = 100
"""Several lines over each other, or one on a phone, are read with fewer bins."""
MOST_TENANTS: Final = 20
FOOTER: Final = (
    "Attainment counts drops. Latency counts from the intended arrival, over all requests, and is infinite without an answer."
    " Accuracy is the profiled one, over the met requests; utility is its sum over the met by the number of all;"
    " the gap is what it lacks to a bound that no scheduler can pass."
    " Intervals: 95 %, batch means over 20 blocks."
)


def of_run(run: Run, summary: Mapping[str, Any]) -> str:
    """`report.html` of one run."""
    fine, coarse = timeline(run.outcomes), timeline(run.outcomes, COARSE_BINS)
    return _page(
        f"{run.policy} · superserve",
        f"<h1>{escape(run.policy)}</h1>",
        _about([run]),
        _verdict(run),
        _rejections([run]),
        _numbers(run, summary),
        _card("What became of the requests", _fates(summary)),
        _card("Over time", _both(lambda width: charts.timeline_svg(coarse if width == charts.NARROW else fine, width))),
        f'<div class="columns">{_latency(run)}<div class="stack">{_batches(summary)}{_subnets(summary)}</div></div>',
        f'<div class="columns">{_card("Figures", _table(markdown.figures(summary), "facts"))}{_facts([run])}</div>',
        _tenants(summary.get("tenants", {})),
    )


def of_comparison(runs: Sequence[Run], summary: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """`report.html` of several runs; `links` leads from a policy to its own report, where there is one."""
    policies = summary["policies"]
    main = main_policies(summary["ranking"])
    return _page(
        "Comparison · superserve",
        f"<h1>{len(runs)} {'policies' if len({run.policy for run in runs}) == len(runs) else 'runs'}, ranked by utility</h1>",
        _about(runs),
        *(f'<p class="invalid">{escape(problem)}</p>' for problem in summary["problems"]),
        *(_verdict(run) for run in runs),
        _rejections(runs),
        _card("", _ranking(policies, links) + "".join(f'<div class="legend">{escape(note)}</div>' for note in summary["notes"])),
        _card("Who answers in time, and how well", _both(lambda width: charts.scatter_svg(_points(policies, main), width))),
        _card("The main policies over time", _colours(main) + _overlay(runs, main)),
        _tenants_compared(policies),
        _facts(runs),
    )


def main_policies(ranking: Sequence[str]) -> list[str]:
    """The policies whose course over time is shown: the best three, and the best fixed one to hold against them."""
    best = list(ranking[:3])
    fixed = [policy for policy in ranking[3:] if policy.startswith("fixed:")]
    return best if any(policy.startswith("fixed:") for policy in best) else best + fixed[:1]


def _page(title: str, *parts: str) -> str:
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + f"\n<footer>{FOOTER}</footer>\n</main>\n</body>\n</html>\n"
    )


def _about(runs: Sequence[Run]) -> str:
    """One line below the title: the trace, how it was run, and on what."""
    first = runs[0].manifest
    trace = first.get("trace") or {}
    words = [
        str(trace.get("source") or "unknown trace"),
        f"{notation.count(len(runs[0].outcomes))} requests",
        f"{first['offered_qps']:,.0f} requests/s" if first.get("offered_qps") else "",
        f"SLO {described.slo(runs[0])}",
        f"{first['workers']} workers" if first.get("workers") else "",
    ]
    kinds = dict.fromkeys(str(run.manifest.get("kind") or "") for run in runs)
    badges = [*kinds, "synthetic trace" if trace.get("synthetic") else ""]
    return (
        f'<p class="about">{escape(" · ".join(filter(None, words)))} '
        + " ".join(f'<span class="badge">{escape(badge)}</span>' for badge in badges if badge)
        + "</p>"
    )


def _verdict(run: Run) -> str:
    if run.manifest.get("valid", True):
        return ""
    problems = "; ".join(map(str, run.manifest.get("problems") or ["no reason given"]))
    return f'<p class="invalid"><b>This run is invalid</b> ({escape(run.policy)}): {escape(problems)}</p>'


def _numbers(run: Run, summary: Mapping[str, Any]) -> str:
    measured = summary.get("measured_accuracy")
    numbers = (
        ("SLO attainment", notation.percent(summary["attainment"]), _interval(summary, "attainment")),
        (
            "accuracy over met",
            notation.percent(summary["accuracy"]),
            f"measured {notation.percent(measured)}" if measured is not None else _interval(summary, "accuracy"),
        ),
        ("utility", notation.percent(summary["utility"]), _gap(summary) or _interval(summary, "utility")),
        ("p99 latency", markdown.milliseconds(summary["p99_ms"]), f"SLO {described.slo(run)}"),
    )
    cards = (
        f'<div class="card"><span>{name}</span><b>{escape(value)}</b><span>{escape(note)}</span></div>' for name, value, note in numbers
    )
    return f'<div class="numbers">{"".join(cards)}</div>'


def _gap(summary: Mapping[str, Any]) -> str:
    return "" if summary["gap"] is None else f"{notation.points(summary['gap'])} pp below the bound"


def _interval(summary: Mapping[str, Any], name: str) -> str:
    low, high = summary[f"{name}_low"], summary[f"{name}_high"]
    return "too few requests for an interval" if low is None else f"95 %: {notation.interval(low, high)}"


def _fates(summary: Mapping[str, Any]) -> str:
    """A bar of all requests by what became of them."""
    happened = [(status, summary[status]) for status in STATUSES if summary[status]]
    bar = "".join(f'<i style="flex-grow:{number};background:var({FATES[status]})"></i>' for status, number in happened)
    legend = "".join(
        f'<span><i style="background:var({FATES[status]})"></i>{status} {notation.count(number)}'
        f" ({notation.percent(number / summary['requests'])})</span>"
        for status, number in happened
    )
    return f'<div class="fates" aria-hidden="true">{bar}</div><div class="legend">{legend}</div>'


def _latency(run: Run) -> str:
    """In ms when all requests have one SLO, else as a multiple of each request's own."""
    low, high = described.slo_range_ms(run.outcomes)
    latency = latency_ns(run.outcomes) / NS_PER_MS
    latency[~answered(run.outcomes)] = np.inf
    if low != high:
        latency = latency / described.given_ms(run.outcomes)
    limit, unit = (low, "milliseconds since the intended arrival") if low == high else (1.0, "latency as a multiple of the request's SLO")
    unanswered = float(np.isinf(latency).mean())
    note = f'<div class="legend">{notation.percent(unanswered)} of the requests got no answer</div>' if unanswered else ""
    return _card("Latency", charts.latency_svg(latency, limit, unit) + note)


def _batches(summary: Mapping[str, Any]) -> str:
    return _card("Batch sizes", _shares(summary["batch_sizes"], ""))


def _subnets(summary: Mapping[str, Any]) -> str:
    return _card("Subnets, least accurate first", _shares(summary["subnets"], " subnets"))


def _shares(shares: Mapping[str, float], kind: str) -> str:
    if not shares:
        return "<p>No request ran.</p>"
    largest = max(shares.values())
    rows = (
        f'<b>{escape(name)}</b><i style="width:{100 * share / largest:.1f}%"></i><span>{notation.percent(share, 1)}</span>'
        for name, share in shares.items()
    )
    return f'<div class="shares{kind}">{"".join(rows)}</div><div class="legend">share of the requests that ran</div>'


def _ranking(policies: Sequence[Mapping[str, Any]], links: Mapping[str, str]) -> str:
    major = "<th>policy</th><th>utility</th><th>gap pp</th><th class=bar></th><th>attainment</th><th>accuracy</th>"
    head = major + "".join(f"<th class=minor>{name}</th>" for name in ("p50 ms", "p99 ms", "met", "late", "no answer"))
    largest = max((summary["utility"] or 0.0 for summary in policies), default=0.0) or 1.0
    rows = "".join(_ranked(summary, links, (summary["utility"] or 0.0) / largest) for summary in policies)
    return f'<table class="ranking"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _ranked(summary: Mapping[str, Any], links: Mapping[str, str], share: float) -> str:
    name = escape(summary["policy"])
    if summary["policy"] in links:
        name = f'<a href="{escape(links[summary["policy"]])}">{name}</a>'
    low, high = summary["attainment_low"], summary["attainment_high"]
    interval = "" if low is None else f"<br><small>{escape(notation.interval(low, high))}</small>"
    cells = [
        f"<td>{name}</td><td>{notation.percent(summary['utility'])}</td><td>{notation.points(summary['gap'])}</td>",
        f'<td class="bar" style="text-align:left"><i style="width:{100 * share:.1f}%"></i></td>',
        f"<td>{notation.percent(summary['attainment'])}{interval}</td><td>{notation.percent(summary['accuracy'])}</td>",
        *(f'<td class="minor">{notation.milliseconds(summary[name])}</td>' for name in ("p50_ms", "p99_ms")),
        *(
            f'<td class="minor">{notation.short_count(number)}</td>'
            for number in (summary["met"], summary["late"], comparison.unserved(summary))
        ),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _points(policies: Sequence[Mapping[str, Any]], main: Sequence[str]) -> list[charts.Point]:
    """The policies whose place is known; one that met nothing, or ranks nothing by accuracy, has none."""
    return [
        charts.Point(summary["policy"], summary["attainment"], summary["accuracy"], _series(summary["policy"], main))
        for summary in policies
        if summary["attainment"] is not None and summary["accuracy"] is not None
    ]


def _series(policy: str, main: Sequence[str]) -> int | None:
    return main.index(policy) if policy in main else None


def _overlay(runs: Sequence[Run], main: Sequence[str]) -> str:
    by_label = dict(zip(labels(runs), runs, strict=True))
    lines = [timeline(by_label[policy].outcomes, COARSE_BINS) for policy in main]
    return _both(lambda width: charts.overlay_svg(lines, width))


def _colours(names: Iterable[str]) -> str:
    entries = (f'<span><i style="background:var(--series-{i})"></i>{escape(name)}</span>' for i, name in enumerate(names, 1))
    return f'<div class="legend above">{"".join(entries)}</div>'


def _facts(runs: Sequence[Run]) -> str:
    return _card("What was run", _table(described.common(list(runs)), "facts"))


def _tenants(known: Mapping[str, Mapping[str, Any]]) -> str:
    """The tenants that were served worst."""
    if not known:
        return ""
    worst = tenants.worst(known, MOST_TENANTS)
    title = "Tenants" if len(known) == len(worst) else f"The {len(worst)} tenants of {len(known)} that were served worst"
    return _card(title, _table(tenants.rows(worst), "tenants", tenants.COLUMNS))


def _tenants_compared(policies: Sequence[Mapping[str, Any]]) -> str:
    rows = tenants.compared(policies, markdown.MOST_TENANTS)
    return _card("Tenants, those that each policy serves worst first", _table(rows, "tenants compared", tenants.COMPARED)) if rows else ""


def _rejections(runs: Sequence[Run]) -> str:
    return "".join(f'<p class="about">{escape(sentence)}</p>' for sentence in rejections.rejected(runs))


def _both(draw: Callable[[int], str]) -> str:
    """A picture twice: for wide screens, and for phones."""
    return f'<div class="wide">{draw(charts.WIDE)}</div><div class="narrow">{draw(charts.NARROW)}</div>'


def _table(rows: Iterable[Sequence[str]], kind: str, columns: Sequence[str] = ()) -> str:
    head = f"<thead><tr>{''.join(f'<th>{escape(column)}</th>' for column in columns)}</tr></thead>" if columns else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="{kind}">{head}<tbody>{body}</tbody></table>'


def _card(title: str, content: str) -> str:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    return f'<section class="card">{heading}{content}</section>'
