from superserve_cli.reports import Run, comparison, markdown, page, summarize
from superserve_cli.reports.notes import bound, notes
from tests.reports.runs import Req, a_run, manifest, steady

PERFECT = [Req(i, 5) for i in range(20)]


def told(*runs: Run) -> list[str]:
    found: list[str] = comparison.summarize(runs)["notes"]
    return found


def test_accuracies_below_the_attainment_from_which_they_compare_are_named() -> None:
    good, poor = a_run(*PERFECT, policy="a"), steady(policy="b")
    assert told(good, poor)[-1] == "Accuracies compare only at 99.99 % attainment or more, which 1 of 2 runs reach."
    assert told(good, good) == ["Bound on utility 75.00 %: no scheduler can pass it."]


def test_one_missed_in_ten_thousand_still_compares_and_two_do_not() -> None:
    known = {**summarize(steady()), "accuracy": 0.8}
    assert notes([], [{**known, "attainment": 0.9999}]) == []
    assert len(notes([], [{**known, "attainment": 0.9998}])) == 1


def test_a_bound_of_measured_service_is_called_loose() -> None:
    assert bound(steady(service="measured")) == "75.00 %: no scheduler can pass it (loose: it charges the fastest measured times)"
    assert "loose" in told(a_run(*PERFECT, service="measured"), a_run(*PERFECT, service="measured"))[0]


def test_runs_of_different_bounds_are_said_to_have_their_own() -> None:
    runs = [a_run(*PERFECT, seed=seed, utility_bound=0.7 + seed / 100) for seed in (1, 2)]
    assert told(*runs) == ["The gap is to each run's own bound on utility."]


def test_a_run_of_before_there_were_bounds_is_shown_and_compared() -> None:
    old = {key: value for key, value in manifest().items() if key != "utility_bound"}
    run = a_run(*PERFECT)
    before = Run(run.outcomes, old)
    summary = summarize(before)
    assert (summary["utility_bound"], summary["gap"]) == (None, None)
    assert "bound" not in markdown.of_run(before, summary)
    assert "pp below" not in page.of_run(before, summary)
    both = comparison.summarize([before, run])
    assert {row[0]: row[5] for row in comparison.rows(both["policies"])} == {"slackfit #1": "–", "slackfit #2": "5.00"}
    assert "Bound on utility 75.00 %" in markdown.of_comparison([before, run], both)


def test_the_gap_stands_in_every_report() -> None:
    run = a_run(*PERFECT)
    summary = summarize(run)
    assert "| Gap to the bound | 5.00 pp |" in markdown.of_run(run, summary)
    assert "5.00 pp below the bound" in page.of_run(run, summary)
    both = [run, steady()]
    compared = page.of_comparison(both, comparison.summarize(both), {})
    assert "<th>gap pp</th>" in compared
    assert "<td>5.00</td>" in compared
    assert "Accuracies compare only" in compared
