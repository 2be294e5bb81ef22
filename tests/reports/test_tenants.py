from superserve_cli.reports import comparison, markdown, page, tenants
from tests.reports.runs import Req, a_run

RUN = a_run(Req(0, 1, tenant="gold"), Req(1, tenant="gold"), Req(2, 1, subnet="large", tenant="bronze"))
SUMMARY = comparison.summarize([RUN])


def test_tenants_served_worst_come_first_where_not_all_are_shown() -> None:
    assert [row[1] for row in tenants.compared(SUMMARY["policies"], 2)] == ["gold", "bronze"]
    assert tenants.compared(SUMMARY["policies"], 1) == [("slackfit", "gold", "2", "50.00 %", "70.00 %", "35.00 %", "0")]


def test_the_terminal_shows_the_same_in_fewer_letters() -> None:
    assert tenants.narrow(SUMMARY["policies"], 1) == [("slackfit", "gold", "2", "50.00", "70.00", "35.00", "0.0")]
    assert tenants.narrow([{"policy": "p"}], 1) == []


def test_a_comparison_says_how_each_policy_serves_each_tenant() -> None:
    assert "| slackfit | gold | 2 | 50.00 % | 70.00 % | 35.00 % | 0 |" in markdown.of_comparison([RUN], SUMMARY)
    assert "<td>gold</td>" in page.of_comparison([RUN], SUMMARY, {})
