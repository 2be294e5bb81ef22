"""The command line: one Typer application, and the only place where errors become messages and exit codes."""

import errno
import io
import os
import sys
from importlib.metadata import entry_points
from typing import Annotated, cast

import typer

from superserve_cli import __version__, commands
from superserve_cli.errors import SuperserveError

app = typer.Typer(
    name="superserve",
    help="Serve weight-shared SuperNets within a deadline: build, profile, serve, replay, report, compare.",
    invoke_without_command=True,
    rich_markup_mode=None,  # drawn boxes cost --help a third of its time, and break where it is pasted
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])
"""Typer's own class for wrong usage, wherever this version of Typer keeps it."""
INTERRUPTED = 130
REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT}
"""What the system refuses because of the place that the user named, even when we only look at it."""


@app.callback()
def root(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Serve weight-shared SuperNets within a deadline: build, profile, serve, replay, report, compare."""
    if version:
        typer.echo(f"superserve {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


commands.register(app)
for extension in entry_points(group="superserve.commands"):
    app.command(extension.name)(extension.load())


def main() -> None:
    """Run the command line; known errors become one line and an exit code, everything else keeps its traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows no lines and no plus-minus gets their codes
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line: 0 ok, 2 user error, 3 regression or broken protocol, 4 inconclusive, 130 interrupted; bugs raise."""
    try:
        return _typer(arguments)
    except SuperserveError as error:
        return _complain(str(error), error.hint, error.exit_code)
    except UsageError as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "superserve")
        return _complain(getattr(error, "format_message", error.__str__)(), f"see `{where} --help`", 2)
    except BrokenPipeError:
        return _unheard()
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return _complain(f"cannot use {error.filename}: {os.strerror(error.errno)}", "choose another place or name", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", "", INTERRUPTED)


def _typer(arguments: list[str]) -> int:
    """Typer's exit code, but an interrupt and a broken pipe as what they are, not as what it makes of them."""
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="superserve", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as exit:
        if isinstance(exit.__context__, BrokenPipeError):
            raise exit.__context__ from None
        raise
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _unheard() -> int:
    """The reader of our output went away (`superserve list policies | head -1`): what is still buffered must go nowhere at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _complain(message: str, hint: str, code: int) -> int:
    from superserve_cli import console

    console.error(" ".join(message.split()), hint)
    return code
