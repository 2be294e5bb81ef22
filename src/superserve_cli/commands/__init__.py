"""One file per verb: read, call, write. No logic, no print; heavy imports inside the functions, so that --help stays quick."""

from importlib import import_module

import typer

VERBS = (
    "build",
    "calibrate",
    "search",
    "export",
    "profile",
    "trace",
    "serve",
    "top",
    "replay",
    "conformance",
    "report",
    "compare",
    "capacity",
    "tune",
    "scale",
    "reproduce",
    "inspect",
    "list",
    "bench",
)


def register(app: typer.Typer) -> None:
    """Add every verb to the application; the file `commands/<verb>.py` holds a function (or a Typer group) of that name."""
    for verb in VERBS:
        command = getattr(import_module(f"superserve_cli.commands.{verb}"), verb)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=verb)
        else:
            app.command(verb, short_help=_summary(command.__doc__))(command)


def _summary(docstring: str) -> str:
    """Its first paragraph, which Typer would cut off at the end of a line."""
    return " ".join(docstring.split("\n\n", maxsplit=1)[0].split())
