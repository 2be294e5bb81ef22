"""What a person sees: stdout is data (tables, or JSON), stderr is talk (progress, notes, warnings). Commands alone use it."""

import json
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # it brings numpy, a third of the start-up time
    from superserve_cli.core import nouns

Pieces = Sequence[tuple[str, str]]
"""One line: pieces of text, each with a style of STYLES."""
STYLES = {"": "", "bold": "bold", "dim": "dim", "good": "green", "bad": "bold red", "line": "blue", "bar": "cyan"}
WIDE_ENOUGH = 120
PIPED = 80, 24
"""Columns and rows of what goes to no terminal."""
EACH_S = 1.0
REDRAW_S = 0.2


def _stdout() -> Console:
    # a pipe has no width: do not fold a table that a script will read
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE_ENOUGH, highlight=False)


def _stderr() -> Console:
    return Console(file=sys.stderr, highlight=False)


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "", text: bool = False, labels: int = 1
) -> None:
    """A table on stdout: the first columns, `labels`, to the left, the rest to the right, or to the left as well when they are text."""
    drawn = Table(
        title=escape(title) or None, caption=escape(caption) or None, title_justify="left", caption_justify="left", header_style="bold"
    )
    for i, column in enumerate(columns):
        drawn.add_column(escape(column), justify="left" if i < labels or text else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(str(cell)) for cell in row))
    _stdout().print(drawn)


def data(text: str) -> None:
    """Text on stdout as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def as_json(value: object) -> None:
    """One JSON document on stdout."""
    data(json.dumps(value, indent=2, allow_nan=False))


def note(text: str) -> None:
    """Something worth knowing, on stderr."""
    _stderr().print(escape(text), soft_wrap=True)


def warn(text: str) -> None:
    """Something that may spoil the result, on stderr."""
    _stderr().print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


def error(text: str, hint: str = "") -> None:
    """What went wrong and what to do, in one line on stderr."""
    _stderr().print(f"[bold red]error:[/] {escape(text)}" + (f" [dim]({escape(hint)})[/]" if hint else ""), soft_wrap=True)


@contextmanager
def progress(title: str, quiet: bool = False) -> "Iterator[nouns.Progress]":
    """A bar on stderr with the time left, which work moves by calling what this yields.

    A `quiet` one is drawn only inside such a call: no thread of its own disturbs what is being timed between them.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=_stderr(), transient=False, auto_refresh=not quiet) as bar:
        task = bar.add_task(escape(title), total=None, note="")
        drawn = 0.0

        def move(done: int, total: int, note: str) -> None:
            nonlocal drawn
            bar.update(task, completed=done, total=total, note=escape(note))
            if quiet and bar.console.is_terminal and (done == total or time.monotonic() > drawn + REDRAW_S):
                bar.refresh()
                drawn = time.monotonic()

        yield move


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """A spinner on stderr while something that cannot be counted goes on."""
    with _stderr().status(escape(text)):
        yield


def interactive() -> bool:
    """Whether somebody looks at stdout in a terminal, which can be drawn anew."""
    return sys.stdout.isatty()


def size() -> tuple[int, int]:
    """Columns and rows of the terminal that stdout is."""
    if not sys.stdout.isatty():
        return int(os.environ.get("COLUMNS") or PIPED[0]), PIPED[1]
    return _stdout().size


def lines(drawn: Sequence[Pieces]) -> None:
    """Lines with styles on stdout."""
    _stdout().print(_text(drawn), soft_wrap=True)


def _text(drawn: Sequence[Pieces]) -> Text:
    text = Text(no_wrap=True)
    for i, line in enumerate(drawn):
        text.append("\n" if i else "")
        for piece, style in line:
            text.append(piece, STYLES[style])
    return text


class Screen:
    """The whole terminal, which is drawn anew each second."""

    def __init__(self, live: Live, keyboard: int | None) -> None:
        self._live = live
        self._keyboard = keyboard

    def show(self, drawn: Sequence[Pieces]) -> bool:
        """Draw, and say a second later whether to go on: false, and at once, when q was pressed."""
        self._live.update(_text(drawn), refresh=True)
        end = time.monotonic() + EACH_S
        while (left := end - time.monotonic()) > 0:
            if self._keyboard is None:
                time.sleep(left)
            elif select.select([self._keyboard], [], [], left)[0] and (pressed := os.read(self._keyboard, 64)):
                if b"q" in pressed.lower():
                    return False
            else:
                time.sleep(max(0.0, end - time.monotonic()))
        return True


@contextmanager
def screen() -> Iterator[Screen]:
    """Take the terminal over, and give it back as it was."""
    with _keys() as keyboard, Live(console=_stdout(), screen=True, auto_refresh=False) as live:
        yield Screen(live, keyboard)


@contextmanager
def _keys() -> Iterator[int | None]:
    """The keyboard, each key as it is pressed and unseen; None where there is none."""
    if not sys.stdin.isatty():
        yield None
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
