import json
from collections.abc import Callable

import pytest

from superserve_cli import console


def test_data_goes_to_stdout_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.data("[bold]a\tb")
    console.data("c\n")
    assert capsys.readouterr() == ("[bold]a\tb\nc\n", "")


def test_json_is_one_document_without_nan(capsys: pytest.CaptureFixture[str]) -> None:
    console.as_json({"p99_ms": None})
    assert json.loads(capsys.readouterr().out) == {"p99_ms": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.as_json(float("nan"))


@pytest.mark.parametrize(
    ("say", "line"),
    [
        (lambda: console.note("a [b] c"), "a [b] c\n"),
        (lambda: console.warn("a [b] c"), "warning: a [b] c\n"),
        (lambda: console.error("a [b] c"), "error: a [b] c\n"),
        (lambda: console.error("a [b] c", "do [d]"), "error: a [b] c (do [d])\n"),
    ],
)
def test_talk_goes_to_stderr_with_its_brackets(say: Callable[[], None], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    say()
    assert capsys.readouterr() == ("", line)


def test_a_long_complaint_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.error("word " * 100, "hint " * 100)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_table_in_a_pipe_is_not_folded_at_eighty_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console.table("[runs]", ["policy", "attainment"], [["slackfit [x]", "x" * 90]], caption="late [rule]")
    drawn = capsys.readouterr().out
    assert "x" * 90 in drawn
    assert "[runs]" in drawn
    assert "slackfit [x]" in drawn
    assert "late [rule]" in drawn


def test_a_table_fits_the_columns_that_are_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    console.table("", ["policy", "text"], [["slackfit", "word " * 40]], text=True)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_no_data(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("measuring [cells]", quiet) as progress:
        progress(1, 2, "[half] of it")
        progress(2, 2, "done")
    with console.waiting("[thinking]"):
        pass
    assert capsys.readouterr().out == ""


def test_labels_stand_to_the_left_and_figures_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    console.table("", ("policy", "tenant", "met"), [("a", "b", "1"), ("longer", "longest", "100")], labels=2)
    assert "│ a      │ b       │   1 │" in capsys.readouterr().out
