"""The command line: one Typer application, and the only place where errors become messages and exit codes."""

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from superserve_cli import __version__, commands
from superserve_cli.errors import SuperserveError

app = typer.Typer(
    name="superserve",
    help="Serve weight-shared SuperNets within a deadline: build, profile, serve, replay, report, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
UsageError = typer.BadParameter.__mro__[1]
"""Typer's own class for wrong usage, wherever this version of Typer keeps it."""


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Serve weight-shared SuperNets within a deadline: build, profile, serve, replay, report, compare."""
    if version:
        typer.echo(f"superserve {__version__}")
        raise typer.Exit


commands.register(app)
for extension in entry_points(group="superserve.commands"):
    app.command(extension.name)(extension.load())


def main() -> None:
    """Run the command line; known errors become one line and an exit code, everything else keeps its traceback."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line: 0 ok, 2 user error, 3 regression, 4 inconclusive, 130 interrupted; bugs raise."""
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="superserve", standalone_mode=False)
    except SuperserveError as error:
        return _complain(str(error), error.hint, error.exit_code)
    except UsageError as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "superserve")
        return _complain(getattr(error, "format_message", error.__str__)(), f"see `{where} --help`", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", "", 130)
    except BrokenPipeError:  # the reader of our output went away: `superserve list policies | head -1`
        sys.stdout = None  # type: ignore[assignment]  # nothing may try to flush into the closed pipe at exit
        return 0
    return code if isinstance(code, int) else 0


def _complain(message: str, hint: str, code: int) -> int:
    from superserve_cli import console

    console.error(" ".join(message.split()), hint)
    return code
