import re
from html.parser import HTMLParser

import pytest

from superserve_cli.reports import Run, comparison, markdown, page, summarize
from tests.reports.runs import Req, a_run, matches_golden, steady

EVIL = '<script>alert("|x|")</script>'
VOID = {"meta", "br", "!doctype"}


class Checker(HTMLParser):
    """Notes every tag and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def run_page(run: Run) -> str:
    return page.of_run(run, summarize(run))


def policies() -> list[Run]:
    return [
        steady(policy=p, slow_every=n, subnet=s)
        for p, n, s in (("slackfit", 12, "large"), ("fixed:small", 20, "small"), ("infaas", 4, "small"))
    ]


def test_the_markdown_of_a_run_reads_as_it_did() -> None:
    run = steady()
    assert matches_golden("report.md", markdown.of_run(run, summarize(run)))


def test_the_markdown_of_a_live_invalid_run_with_tenants_reads_as_it_did() -> None:
    requests = [Req(i, 20, tenant="a" if i % 2 else None, correct=i % 4 > 0, lag_ms=i / 10) for i in range(40)]
    run = a_run(*requests, kind="live", utility_bound=None, target="http://127.0.0.1:8000", valid=False, problems=["lag p99 is 3.9 ms"])
    assert matches_golden("report-live.md", markdown.of_run(run, summarize(run)))


def test_the_markdown_of_a_comparison_reads_as_it_did() -> None:
    runs = policies()
    assert matches_golden("comparison.md", markdown.of_comparison(runs, comparison.summarize(runs)))


def test_the_table_for_the_terminal_reads_as_it_did() -> None:
    rows = comparison.narrow_rows(comparison.summarize(policies())["policies"])
    assert matches_golden("comparison.txt", "\n".join(" | ".join(row) for row in rows) + "\n")


def test_an_interval_cut_at_one_hundred_shows_its_longer_half() -> None:
    row = comparison.narrow_rows([{**summarize(steady()), "attainment": 0.99, "attainment_low": 0.97, "attainment_high": 1.0}])[0]
    assert row[1] == "99.00 ±2.00"


@pytest.mark.parametrize(
    "run",
    [
        steady(),
        a_run(Req(0, 5)),
        a_run(Req(0)),
        a_run(Req(0, slo_ms=100)),
        a_run(Req(0, 100, slo_ms=100)),
        a_run(Req(0, 5, subnet="unmeasured"), Req(1, 500)),
        a_run(*(Req(i, 5, slo_ms=10 + i, tenant=f"t{i}") for i in range(30))),
        a_run(Req(0, 5), trace={}, profile={}, versions=None, hardware=None, offered_qps=None, load=None, workers=None, policy=None),
    ],
    ids=[
        "usual",
        "one request",
        "one drop",
        "one drop at a round SLO",
        "one answer at its SLO",
        "accuracy unknown",
        "own SLOs and many tenants",
        "bare manifest",
    ],
)
def test_a_page_is_whole_and_needs_nothing_else(run: Run) -> None:
    text = run_page(run)
    checked = Checker(text)
    assert checked.open == []
    assert {"svg", "style", "h1"} <= checked.seen
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(checked.seen)
    assert not re.search(r"url\((?!#)|@import|src=|\bnan\b|NaN", text)


def test_a_page_is_the_same_bytes_for_the_same_run() -> None:
    assert run_page(steady()) == run_page(steady())


def test_nothing_that_a_user_named_becomes_markup() -> None:
    run = a_run(Req(0, 5, tenant=EVIL), policy=EVIL, trace={"source": EVIL, "requests": 1}, valid=False, problems=[EVIL])
    summary = summarize(run)
    both = comparison.summarize([run, steady()])
    pages = (run_page(run), page.of_comparison([run, steady()], both, {EVIL: EVIL}))
    texts = (markdown.of_run(run, summary), markdown.of_comparison([run, steady()], both))
    assert not any("<script" in text for text in (*pages, *texts))
    for text in texts:
        assert all(line.count("|") - line.count("\\|") in (3, 7, 8, 9) for line in text.splitlines() if line.startswith("|"))


def test_pictures_have_words_for_those_who_cannot_see_them() -> None:
    text = run_page(steady())
    assert text.count("<svg ") == text.count('role="img" aria-label="')


def test_pictures_of_a_page_do_not_share_their_ids() -> None:
    text = run_page(steady())
    clips = re.findall(r'<clipPath id="(\w+)"', text)
    assert len(clips) == len(set(clips))


def test_a_comparison_page_ranks_links_and_draws() -> None:
    runs = policies()
    text = page.of_comparison(runs, comparison.summarize(runs), {"slackfit": "slackfit/report.html"})
    assert Checker(text).open == []
    assert '<a href="slackfit/report.html">slackfit</a>' in text
    assert text.index("slackfit</a>") < text.index("<td>infaas</td>")
    assert "1.00 %" not in text


def test_a_comparison_survives_policies_that_met_nothing_or_rank_nothing() -> None:
    runs = [a_run(Req(0), policy="a"), a_run(Req(0, 5, subnet="unmeasured"), policy="b"), a_run(Req(0, 5), policy="c")]
    assert Checker(page.of_comparison(runs, comparison.summarize(runs), {})).open == []
    assert Checker(page.of_comparison(runs[:1], comparison.summarize(runs[:1]), {})).open == []


def test_the_main_policies_are_the_best_three_and_the_best_fixed_one() -> None:
    assert page.main_policies(["a", "b", "c", "d", "fixed:x", "fixed:y"]) == ["a", "b", "c", "fixed:x"]
    assert page.main_policies(["a", "fixed:x", "c", "fixed:y"]) == ["a", "fixed:x", "c"]


def test_an_invalid_run_is_marked_everywhere() -> None:
    run = steady(valid=False, problems=["the load generator lagged"])
    assert "INVALID" in markdown.of_run(run, summarize(run))
    assert "This run is invalid" in run_page(run)


def test_a_synthetic_trace_is_called_synthetic() -> None:
    assert "SYNTHETIC" in markdown.of_run(steady(), summarize(steady()))
    assert "synthetic trace" in run_page(steady())
    assert "synthetic trace" not in run_page(steady(trace={"source": "azure:FILE", "synthetic": False}))


def test_runs_of_different_traces_side_by_side_are_warned_about() -> None:
    runs = [steady(), steady(trace={"source": "poisson", "hash": "c" * 64}, late="drop")]
    summary = comparison.summarize(runs)
    assert summary["problems"] == [f"these runs do not share one {what}: their figures do not compare" for what in ("trace", "late rule")]
    for text in (markdown.of_comparison(runs, summary), page.of_comparison(runs, summary, {})):
        assert "do not share one trace" in text
