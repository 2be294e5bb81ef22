from superserve_cli.conformance.cases import GRPC, HTTP
from superserve_cli.conformance.verdict import FAIL, NOT_OFFERED, PASS
from tests.conformance.servers import checked, results


def test_a_server_without_faults_fails_no_required_case_but_in_http_itself() -> None:
    report = checked()
    assert [row.case.name for row in report.failed if row.case.group not in ("limits", "compression")] == []
    assert set(results(report, "binary").values()) == {NOT_OFFERED}
    assert results(report, "inference")["several rows"] == PASS


def test_a_server_that_hides_its_errors_is_told_so_and_what_came_is_quoted() -> None:
    report = checked("details")
    assert results(report, "errors")["empty body"] == FAIL
    row = next(row for row in report.rows if row.case.name == "unknown model")
    assert row.verdict.expected == 'the body {"error": "..."}'
    assert row.verdict.came.startswith('404 {"detail"')


def test_a_server_that_calls_its_clients_faults_its_own_is_told_so() -> None:
    assert set(results(checked("crashes"), "shapes").values()) <= {FAIL, NOT_OFFERED, PASS}
    assert results(checked("crashes"), "shapes")["a negative size"] == FAIL


def test_a_server_that_forgets_the_id_is_told_so() -> None:
    found = results(checked("forgets"), "inference")
    assert (found["id is returned"], found["model name"]) == (FAIL, PASS)


def test_every_case_has_a_name_of_its_own_and_a_sentence() -> None:
    names = [(case.group, case.name) for case in (*HTTP, *GRPC)]
    assert len(set(names)) == len(names)
    assert all(case.sentence for case in (*HTTP, *GRPC))
