from superserve_cli.core.outcomes import MET, REJECTED
from superserve_cli.reports import comparison, markdown, page, rejections, summarize
from superserve_cli.reports.rejections import Unreached
from superserve_cli.reports.run import Run
from tests.reports.runs import Req, a_run

PROFILE = {"name": "cpu"}
FLOORS = (
    Req(0, 1, min_accuracy=0.8, status=MET),
    Req(1, min_accuracy=0.9, status=REJECTED),
    Req(2, min_accuracy=0.95, status=REJECTED),
    Req(3, status=REJECTED),  # for another reason: too many rows, say
)


def serving(best: float | None, policy: str = "slackfit") -> Run:
    return a_run(*FLOORS, policy=policy, profile={**PROFILE, "best_accuracy": best})


def test_a_floor_that_no_subnet_reaches_is_counted_and_named() -> None:
    assert rejections.unreached(serving(0.8)) == Unreached(2, 0.9, 0.95, 0.8)
    assert summarize(serving(0.8))["unreached"] == {"requests": 2, "lowest": 0.9, "highest": 0.95, "best": 0.8}
    assert rejections.rejected([serving(0.8)]) == [
        "2 requests rejected, because no subnet reaches an accuracy floor of 90 to 95 % (the best has 80 %)"
    ]


def test_requests_rejected_for_another_reason_or_none_are_not_blamed_on_floors() -> None:
    assert rejections.unreached(a_run(Req(0, 1, min_accuracy=0.9), Req(1, status=REJECTED))) is None
    assert rejections.unreached(a_run(Req(0, status=REJECTED))) is None
    assert rejections.unreached(a_run(*FLOORS, profile=PROFILE)) is None
    assert "unreached" not in summarize(a_run(Req(0, 1)))


def test_a_profile_that_knows_no_accuracy_reaches_no_floor() -> None:
    assert rejections.rejected([serving(None)]) == [
        "2 requests rejected, because no subnet reaches an accuracy floor of 90 to 95 % (no accuracy is known)"
    ]


def test_policies_that_reject_the_same_share_a_sentence() -> None:
    runs = [serving(0.8, "slackfit"), serving(0.7, "infaas"), serving(0.92, "fixed:l")]
    assert rejections.rejected(runs) == [
        "slackfit, infaas: 2 requests rejected, because no subnet reaches an accuracy floor of 90 to 95 % (the best has 70 to 80 %)",
        "fixed:l: 1 request rejected, because no subnet reaches an accuracy floor of 95 % (the best has 92 %)",
    ]


def test_every_report_says_it() -> None:
    runs = [serving(0.8), serving(0.8, "infaas")]
    summary = comparison.summarize(runs)
    for text in (
        markdown.of_run(runs[0], summarize(runs[0])),
        page.of_run(runs[0], summarize(runs[0])),
        markdown.of_comparison(runs, summary),
        page.of_comparison(runs, summary, {}),
    ):
        assert "no subnet reaches an accuracy floor of 90 to 95 %" in text
