"""Writes docs/cli.md: what `--help` says of every command, as wide as in a terminal of 80 columns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from superserve_cli.app import app
from superserve_cli.commands import VERBS

TARGET = Path(__file__).with_name("cli.md")
WIDTH = 78
INTRODUCTION = f"""# Command line

<!-- Written by `make docs` from --help, with Typer {typer.__version__}. Change the commands, not this file. -->
"""


def reference() -> str:
    """The whole page; commands that other packages add are left out."""
    root = typer.main.get_command(app)
    root.commands = {verb: root.commands[verb] for verb in VERBS}  # type: ignore[attr-defined]  # it is a group
    return INTRODUCTION + "".join(_sections(root, "superserve", None))


def _sections(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH, **command.context_settings)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines()).strip()
    yield f"\n## {context.command_path}\n\n```text\n{text}\n```\n"
    for child_name, child in getattr(command, "commands", {}).items():
        yield from _sections(child, child_name, context)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
